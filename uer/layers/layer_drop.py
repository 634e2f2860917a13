"""Layers that are left out at random."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import ConfigError
from uer.wanted import Wanted


class LayerDrop(nn.Module):
    """Leaves a whole layer out of some training steps, for all rows of a batch (arXiv:1909.11556).

    What it made is computed and not used, and its gradients are zero: so every parameter takes part
    in every step, and processes need not leave out the same layers, whatever the engine.

    Args:
        rate: share of the steps that go without a layer, from 0 to below 1.

    Raises:
        ConfigError: the rate is not in this range.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ConfigError([f"layer_drop: {rate} is not from 0 to below 1."])
        self.rate = rate

    def forward(
        self, before: torch.Tensor, behind: torch.Tensor, wanted: Wanted | None = None
    ) -> torch.Tensor:
        """What a layer read [B, L, H] and what it made of it → one of them.

        Args:
            before: what it read.
            behind: what it made, [B, L, H], or [M, H] where only these are wanted.
            wanted: which they are.
        """
        if not self.training or self.rate == 0.0:
            return behind
        if wanted is not None:
            before = wanted.take(before)
        left_out = torch.rand((), device=behind.device) < self.rate
        return torch.where(left_out, before, behind)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"rate={self.rate}"
