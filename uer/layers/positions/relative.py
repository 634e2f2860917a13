"""Relative positions as a learnt bias."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from uer.glossary import HeadsNum, RelativeBuckets, RelativeMaxDistance
from uer.layers.base import Placement, Position
from uer.layers.linear import table
from uer.masks import AttentionMask


class RelativePosition(Position):
    """A learnt number per head and distance is added to the scores (T5, arXiv:1910.10683).

    Distances fall into buckets: small ones have their own, larger ones share. Where
    the mask lets tokens see what follows, half of the buckets are for it.
    """

    def __init__(
        self,
        *,
        heads_num: HeadsNum,
        relative_attention_buckets_num: RelativeBuckets = 32,
        relative_attention_max_distance: RelativeMaxDistance = 128,
    ) -> None:
        super().__init__()
        self.weight = table(relative_attention_buckets_num, heads_num)
        self.farthest = relative_attention_max_distance

    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """The bias [B or 1, N, Lq, Lk]."""
        distance = mask.key.places(device)[:, None, :] - mask.query.places(device)[:, :, None]
        bucket = buckets(
            distance,
            self.weight.shape[0],
            self.farthest,
            both_ways=mask.kind != "causal",
        )
        return Bias(F.embedding(bucket, self.weight).permute(0, 3, 1, 2))

    def no_decay(self) -> list[nn.Parameter]:
        """The table: its entries are biases."""
        return [self.weight]


class Bias(Placement):
    """Positions as numbers that are added to the scores.

    Args:
        values: [B or 1, N, Lq, Lk].
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def bias(self) -> torch.Tensor:
        """See `Placement.bias`."""
        return self._values


def buckets(distance: torch.Tensor, number: int, farthest: int, *, both_ways: bool) -> torch.Tensor:
    """The bucket of every distance.

    Args:
        distance: int64, key position - query position.
        number: buckets in all.
        farthest: distances from here on share the last bucket.
        both_ways: half of the buckets are for keys behind the query; otherwise such keys count as
            distance 0.
    """
    behind = torch.zeros_like(distance)
    if both_ways:
        number //= 2
        behind = (distance > 0).long() * number
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = number // 2
    steps = torch.log(distance.clamp(min=1).float() / exact) / math.log(farthest / exact)
    far = (exact + (steps * (number - exact)).long()).clamp(max=number - 1)
    return behind + torch.where(distance < exact, distance, far)
