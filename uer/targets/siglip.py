"""Two streams, each pair a question of its own."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.glossary import Pooling
from uer.layers.base import Pooler
from uer.layers.linear import Linear
from uer.layers.pooling import places, pool
from uer.score import Ratio, Score
from uer.signature import Factory, Given, default
from uer.states import States
from uer.targets._pairs import PairTarget
from uer.wanted import Places


class SigmoidContrast(PairTarget):
    """Says of every text and every image whether they belong together (SigLIP, arXiv:2303.15343).

    Each answer is scored by itself, with a learnt scale and bias, so no sum over the batch stands
    in the loss. Documents of stream 0 are projected to the width of stream 1, whose documents a
    head of its own pools. A process answers for its own documents of stream 0 and those of stream 1
    of all processes: together that is the loss of the whole batch.
    """

    def __init__(
        self,
        *,
        input_sizes: Given[tuple[int, ...]],
        pooling: Pooling = "last",
        pooler: Factory[Pooler] = default("map"),
        initial_scale: Annotated[float, "inverse temperature at the start"] = 10.0,
        initial_bias: Annotated[
            float, "bias at the start; about log(1 / rows of a batch), so that no is the answer"
        ] = -10.0,
    ) -> None:
        super().__init__(input_sizes)
        self.pooling = pooling
        self.projection = Linear(input_sizes[0], input_sizes[1])
        self.pooler = pooler(size=input_sizes[1])
        self.logit_scale = nn.Parameter(torch.full((1,), math.log(initial_scale)))
        self.logit_bias = nn.Parameter(torch.full((1,), initial_bias))

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """[M] what is pooled; the head of stream 1 reads all."""
        return None if stream else places(states, self.pooling)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D pairs: document d of one stream belongs to document d of the other."""
        first, second = self.features(states)
        _, candidates, own = self.candidates(first, second)
        logits = self.logits(first, candidates).float()
        weight = self.weight(batch)
        if not logits.numel():
            return Score(logits.sum(), {"accuracy": Ratio(weight, weight)})
        belongs = torch.zeros_like(logits).scatter_(1, own[:, None], 1.0)
        loss = F.binary_cross_entropy_with_logits(logits, belongs, reduction="sum")
        correct = (logits.detach().argmax(-1) == own).sum().to(loss.dtype)
        return Score(loss, {"accuracy": Ratio(correct, weight)})

    def vectors(self, stream: int, states: States) -> torch.Tensor:
        """See `PairTarget.vectors`."""
        if stream:
            return self.pooler(states)
        return self.projection(pool(states, self.pooling))

    def logits(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """See `PairTarget.logits`."""
        return self.logit_scale.exp() * one @ other.T + self.logit_bias
