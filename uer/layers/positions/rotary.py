"""Rotary positions."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from uer.layers.base import Placement, Position
from uer.layers.rope_scaling import inverse_frequencies
from uer.masks import AttentionMask
from uer.signature import Given

RopeTheta = Annotated[float, "base of the rotation's wave lengths"]
RopeScaling = Annotated[
    dict[str, Any] | None,
    "how wave lengths are stretched for longer texts: rope_type (linear, llama3, yarn) and its "
    "constants, as in Hugging Face's configurations",
]


class RotaryPosition(Position):
    """Rotates queries and keys by angles that grow with the position (RoFormer, arXiv:2104.09864).

    Dimension i is paired with dimension i + Dh/2, as in Hugging Face's checkpoints.
    """

    def __init__(
        self,
        *,
        head_size: Given[int],
        rope_theta: RopeTheta = 10000.0,
        rope_scaling: RopeScaling = None,
    ) -> None:
        super().__init__()
        self.frequency, self.scale = inverse_frequencies(head_size, rope_theta, rope_scaling)

    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """Cosines and sines [B or 1, L, Dh/2] of every position's angles, in float32."""
        angle = mask.query.places(device)[..., None].float() * self.frequency.to(device)
        return self.placed(angle.cos() * self.scale, angle.sin() * self.scale)

    def placed(self, cos: torch.Tensor, sin: torch.Tensor) -> Placement:
        """The rotation of pairs of dimensions, from [B or 1, L, Dh/2] each."""
        return _Halves(cos, sin)


class _Halves(Placement):
    def __init__(self, cos: torch.Tensor, sin: torch.Tensor) -> None:
        self.cos, self.sin = (torch.cat((half, half), dim=-1)[:, None] for half in (cos, sin))

    def rotate(self, vectors: torch.Tensor) -> torch.Tensor:
        low, high = vectors.chunk(2, dim=-1)
        turned = torch.cat((-high, low), dim=-1)
        return (vectors * self.cos + turned * self.sin).to(vectors.dtype)
