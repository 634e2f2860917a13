"""Fixed sinusoidal positions."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch

from uer.batch import Batch
from uer.components import Embedding
from uer.glossary import EmbSize
from uer.states import States


class SinusoidalPositionEmbedding(Embedding):
    """Sines and cosines of the position at geometrically growing wave lengths (arXiv:1706.03762).

    Any length is known; nothing is learnt or stored. ``halves`` has all sines before the cosines
    (PEGASUS), ``interleaved`` each sine beside its cosine (the paper).
    """

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        sinusoids: Annotated[
            Literal["interleaved", "halves"], "order of the sines and cosines of a position"
        ] = "interleaved",
    ) -> None:
        super().__init__()
        self.output_size, self.sinusoids = emb_size, sinusoids

    def forward(self, batch: Batch, states: States | None) -> States:
        """Add positions to hidden [B, L, E]."""
        assert states is not None, "sinusoidalpos adds to what stands before it"
        hidden = states.hidden
        position = states.position
        if position is None:
            position = torch.arange(hidden.shape[1], device=hidden.device)
        return states.with_hidden(hidden + self.vectors(position).to(hidden.dtype))

    def vectors(self, position: torch.Tensor) -> torch.Tensor:
        """float32 [..., E] of positions [...]."""
        half = torch.arange(0, self.output_size, 2, device=position.device).float()
        frequency = torch.exp(half * (-math.log(10000.0) / self.output_size))
        return self._joined(position[..., None].float() * frequency)

    def _joined(self, angle: torch.Tensor) -> torch.Tensor:
        """[..., E/2] → [..., E]; an odd width has one sine more than cosines."""
        pair = (angle.sin(), angle.cos())
        both = torch.cat(pair, -1) if self.sinusoids == "halves" else _interleaved(*pair)
        return both[..., : self.output_size]


def _interleaved(sine: torch.Tensor, cosine: torch.Tensor) -> torch.Tensor:
    return torch.stack((sine, cosine), dim=-1).flatten(-2)
