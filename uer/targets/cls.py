"""Classification of documents."""

from __future__ import annotations

import torch

from uer.batch import Batch
from uer.components import Target
from uer.glossary import LabelSmoothing, Pooling
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.layers.pooling import pool
from uer.score import Score
from uer.signature import Given
from uer.states import States


class Classification(Target):
    """Assigns one of C classes to every document; soft labels distil a teacher."""

    labels = ("value",)

    def __init__(
        self,
        *,
        input_size: Given[int],
        labels_num: Given[int],
        pooling: Pooling = "first",
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.hidden = Linear(input_size, input_size)
        self.output = Linear(input_size, labels_num)
        self.pooling = pooling
        self.label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of documents."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D documents against ``labels.<name>.value``, [D] classes or [D, C] shares."""
        value = batch[f"labels.{self.name}.value"]
        return cross_entropy(self.logits(states), value, label_smoothing=self.label_smoothing)

    def logits(self, states: States) -> torch.Tensor:
        """[D, C] of every document."""
        return self.output(torch.tanh(self.hidden(pool(states, self.pooling))))
