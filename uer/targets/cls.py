"""Classification of documents."""

from __future__ import annotations

from typing import Annotated

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
        classifier_hidden: Annotated[
            bool, "a linear map with tanh before the one to the classes"
        ] = True,
        classifier_bias: Annotated[bool, "the map to the classes has a bias"] = True,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.hidden = Linear(input_size, input_size) if classifier_hidden else None
        self.output = Linear(input_size, labels_num, bias=classifier_bias)
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
        pooled = pool(states, self.pooling)
        return self.output(pooled if self.hidden is None else torch.tanh(self.hidden(pooled)))
