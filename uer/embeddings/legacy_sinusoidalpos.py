"""The predecessors' own sinusoidal positions, for checkpoints that were trained with them."""

from __future__ import annotations

import math

import torch

from uer.embeddings.sinusoidalpos import SinusoidalPositionEmbedding

_FIRST = 2  # the predecessors' table starts two rows later


class LegacySinusoidalPositionEmbedding(SinusoidalPositionEmbedding):
    """Sinusoids that start at position 2, with wave lengths that reach 10,000 exactly.

    `dialect: legacy` chooses them, and Speech2Text has them; nothing new should.
    """

    def vectors(self, position: torch.Tensor) -> torch.Tensor:
        """float32 [..., E] of positions [...]."""
        half = torch.arange(self.output_size // 2, device=position.device).float()
        frequency = torch.exp(half * (-math.log(10000.0) / (self.output_size / 2 - 1)))
        return self._joined((position[..., None] + _FIRST).float() * frequency)
