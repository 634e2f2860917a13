"""Attention with linear biases."""

from __future__ import annotations

import math

import torch

from uer.glossary import HeadsNum
from uer.layers.base import Placement, Position
from uer.layers.positions.relative import Bias
from uer.masks import AttentionMask


class Alibi(Position):
    """Scores fall linearly with the distance, at a fixed slope per head (arXiv:2108.12409)."""

    def __init__(self, *, heads_num: HeadsNum) -> None:
        super().__init__()
        self.slopes = torch.tensor(slopes(heads_num), device="cpu")

    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """The bias [B or 1, N, Lq, Lk]."""
        distance = mask.query.places(device)[:, :, None] - mask.key.places(device)[:, None, :]
        return Bias(-distance.abs()[:, None] * self.slopes.to(device)[:, None, None])


def slopes(heads: int) -> list[float]:
    """The slope of each head: a geometric sequence for a power of two, else two interlocked."""
    power = 1 << (heads.bit_length() - 1)
    ratio = 2.0 ** -(8 / power)
    found = [ratio ** (n + 1) for n in range(power)]
    finer = math.sqrt(ratio)
    return found + [finer ** (2 * n + 1) for n in range(heads - power)]
