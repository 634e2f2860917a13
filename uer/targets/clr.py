"""Contrastive learning between two streams."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.errors import ConfigError
from uer.glossary import Pooling
from uer.layers.cross_entropy import cross_entropy
from uer.layers.gather import gathered
from uer.layers.linear import Linear
from uer.layers.pooling import pool
from uer.score import Score
from uer.signature import Given
from uer.states import States

TEMPERATURE = 0.07
GREATEST_SCALE = 100.0


class Contrast(Target):
    """Tells what belongs together from everything else in the batch (CLIP, arXiv:2103.00020).

    Documents become unit vectors; each picks its partner among all documents of the other stream,
    of all processes, in both directions. The inverse temperature is learnt and never exceeds 100.
    """

    additive = False
    labels = ()

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
        super().__init__()
        if len(input_sizes) != 2:
            raise ConfigError(
                ["target 'clr' compares two streams; choose embedding: dual and encoder: dual."]
            )
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

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of pairs."""
        length = batch["src.0.length"]
        return torch.full((), float(length.shape[0]), device=length.device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D pairs: document d of one stream belongs to document d of the other."""
        first, second = self.features(states)
        all_first, all_second, own = self.candidates(first, second)
        scale = self.logit_scale.exp()
        to_second = cross_entropy(scale * first @ all_second.T, own)
        to_first = cross_entropy(scale * second @ all_first.T, own)
        loss = (to_second.loss_sum + to_first.loss_sum) / 2
        return Score(loss, to_second.metrics)

    def features(self, states: States) -> tuple[torch.Tensor, torch.Tensor]:
        """[D, F] unit vectors of the documents of each stream."""
        first, second = (
            F.normalize(project(pool(stream, how)), dim=-1)
            for stream, how, project in zip(
                states.streams, self.pooling, self.projections, strict=True
            )
        )
        return first, second

    @staticmethod
    def candidates(
        first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What each stream chooses among: the documents of all processes, with their gradients.

        Args:
            first: [D, F] of this process.
            second: [D, F] of this process.

        Returns:
            [N, F] of both streams, and [D] where this process's pairs are in them.
        """
        rows = gathered(torch.cat((first, second), dim=1))
        all_first, all_second = rows.all.chunk(2, dim=1)
        return all_first, all_second, rows.own

    def on_update(self, step: int, total: int) -> None:
        """Keep the inverse temperature below its bound."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=math.log(GREATEST_SCALE))

    def no_decay(self) -> list[nn.Parameter]:
        """The inverse temperature."""
        return [self.logit_scale]
