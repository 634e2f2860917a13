"""Contrastive learning between two streams."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import ConfigError
from uer.glossary import Pooling
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.layers.pooling import places, pool
from uer.score import Score
from uer.signature import Given
from uer.states import States
from uer.targets._pairs import PairTarget
from uer.wanted import Places

TEMPERATURE = 0.07
GREATEST_SCALE = 100.0


class Contrast(PairTarget):
    """Tells what belongs together from everything else in the batch (CLIP, arXiv:2103.00020).

    Documents become unit vectors; each picks its partner among all documents of the other stream,
    of all processes, in both directions. The inverse temperature is learnt and never exceeds 100.
    """

    def __init__(
        self,
        *,
        input_sizes: Given[tuple[int, ...]],
        pooling: Pooling = "first",
        pooling_1: Annotated[
            Pooling | None, "how documents of stream 1 are pooled; by default as stream 0"
        ] = None,
        feature_size: Annotated[
            int | None, "width that each stream is projected to; by default there is no projection"
        ] = None,
    ) -> None:
        super().__init__(input_sizes)
        if feature_size is None and len(set(input_sizes)) > 1:
            one, other = input_sizes
            raise ConfigError(
                [f"target 'clr': streams {one} and {other} wide need a common feature_size."]
            )
        self.pooling = (pooling, pooling_1 or pooling)
        self.projections = nn.ModuleList(
            nn.Identity() if feature_size is None else Linear(size, feature_size, bias=False)
            for size in input_sizes
        )
        self.logit_scale = nn.Parameter(torch.full((), math.log(1 / TEMPERATURE)))

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """[M] what is pooled."""
        return places(states, self.pooling[stream])

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D pairs: document d of one stream belongs to document d of the other."""
        first, second = self.features(states)
        all_first, all_second, own = self.candidates(first, second)
        to_second = cross_entropy(self.logits(first, all_second), own)
        to_first = cross_entropy(self.logits(second, all_first), own)
        return Score((to_second.loss_sum + to_first.loss_sum) / 2, to_second.metrics)

    def vectors(self, stream: int, states: States) -> torch.Tensor:
        """See `PairTarget.vectors`."""
        return self.projections[stream](pool(states, self.pooling[stream]))

    def logits(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """See `PairTarget.logits`."""
        return self.logit_scale.exp() * one @ other.T

    def on_update(self, step: int, total: int) -> None:
        """Keep the inverse temperature below its bound."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=math.log(GREATEST_SCALE))
