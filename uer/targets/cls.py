"""Classification of documents."""

from __future__ import annotations

from typing import Annotated

import torch

from uer.batch import Batch
from uer.components import Target
from uer.glossary import LabelSmoothing, Pooling
from uer.layers.base import Norm
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.layers.pooling import places, pool
from uer.score import Score
from uer.signature import Factory, Given
from uer.states import States
from uer.wanted import Places


class Classification(Target):
    """Assigns one of C classes to every document; soft labels distil a teacher.

    ``pooled_norm`` normalises what was pooled, instead of a norm at the end of the encoder.
    """

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
        pooled_norm: Factory[Norm] | None = None,
        beside_patches: Annotated[
            bool, "the mean of an image's patches stands beside what was pooled (DINOv2)"
        ] = False,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.norm = None if pooled_norm is None else pooled_norm(size=input_size)
        width = input_size * 2 if beside_patches else input_size
        self.hidden = Linear(width, width) if classifier_hidden else None
        self.output = Linear(width, labels_num, bias=classifier_bias)
        self.pooling, self.beside_patches = pooling, beside_patches
        self.label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of documents."""
        return self.count(batch)

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """[M] what is pooled."""
        return None if self.beside_patches else places(states, self.pooling)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D documents against ``labels.<name>.value``, [D] classes or [D, C] shares."""
        value = batch[f"labels.{self.name}.value"]
        logits = self.logits(states)[: len(value)]  # rows without labels, of which none has any
        return cross_entropy(logits, value, label_smoothing=self.label_smoothing)

    def logits(self, states: States) -> torch.Tensor:
        """[D, C] of every document."""
        pooled = pool(states, self.pooling)
        if self.norm is not None:
            pooled = self.norm(pooled)
        if self.beside_patches:
            pooled = torch.cat([pooled, pool(states, "patches")], -1)
        return self.output(pooled if self.hidden is None else torch.tanh(self.hidden(pooled)))
