"""Rotary positions."""

from __future__ import annotations

from typing import Annotated

import torch

from uer.layers.base import Placement, Position
from uer.masks import AttentionMask
from uer.signature import Given


class RotaryPosition(Position):
    """Rotates queries and keys by angles that grow with the position (RoFormer, arXiv:2104.09864).

    Dimension i is paired with dimension i + Dh/2, as in Hugging Face's checkpoints.
    """

    def __init__(
        self,
        *,
        head_size: Given[int],
        rope_theta: Annotated[float, "base of the rotation's wave lengths"] = 10000.0,
    ) -> None:
        super().__init__()
        self.head_size, self.theta = head_size, rope_theta

    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """Cosines and sines [B or 1, L, Dh] of every position's angles, in float32."""
        steps = torch.arange(0, self.head_size, 2, device=device, dtype=torch.float32)
        frequency = 1.0 / self.theta ** (steps / self.head_size)
        angle = mask.query.places(device)[..., None].float() * frequency
        angle = torch.cat((angle, angle), dim=-1)
        return Placement(angle.cos(), angle.sin())


def rotate(vectors: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Apply the rotation.

    Args:
        vectors: [B, N, L, Dh] queries or keys.
        placement: cosines and sines [B or 1, L, Dh].

    Returns:
        [B, N, L, Dh].
    """
    low, high = vectors.chunk(2, dim=-1)
    turned = torch.cat((-high, low), dim=-1)
    cos, sin = placement.cos[:, None], placement.sin[:, None]
    return (vectors * cos + turned * sin).to(vectors.dtype)
