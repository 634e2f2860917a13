"""Rotary positions of adjacent dimensions."""

from __future__ import annotations

import torch

from uer.layers.base import Placement
from uer.layers.positions.rotary import RotaryPosition


class InterleavedRotaryPosition(RotaryPosition):
    """Rotary positions that pair dimension 2i with 2i + 1, as RoFormer and Meta's LLaMA do.

    The weights of queries and keys are those of `rotary` with the dimensions of a head reordered.
    """

    def placed(self, cos: torch.Tensor, sin: torch.Tensor) -> Placement:
        """See `RotaryPosition.placed`."""
        return _Pairs(cos, sin)


class _Pairs(Placement):
    def __init__(self, cos: torch.Tensor, sin: torch.Tensor) -> None:
        self.cos, self.sin = cos[:, None], sin[:, None]

    def rotate(self, vectors: torch.Tensor) -> torch.Tensor:
        even, odd = vectors.unflatten(-1, (-1, 2)).unbind(-1)
        turned = (even * self.cos - odd * self.sin, even * self.sin + odd * self.cos)
        return torch.stack(turned, dim=-1).flatten(-2).to(vectors.dtype)
