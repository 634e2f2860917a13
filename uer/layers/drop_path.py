"""Stochastic depth."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import ConfigError
from uer.wanted import Wanted


class DropPath(nn.Module):
    """Leaves a block out for some rows in training, and scales it by 1 / (1 - rate) for the others.

    (arXiv:1603.09382.) What is left of a row is its residual connection.

    Args:
        rate: share of the rows that go without, from 0 to below 1.

    Raises:
        ConfigError: the rate is not in this range.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ConfigError([f"drop_path: {rate} is not from 0 to below 1."])
        self.rate = rate

    def forward(self, block: torch.Tensor, wanted: Wanted | None = None) -> torch.Tensor:
        """[B, …] or [M, …] what a block adds → the same shape; itself when nothing is left out."""
        if not self.training or self.rate == 0.0:
            return block
        kept = 1.0 - self.rate
        rows = block.shape[0] if wanted is None else wanted.shape[0]
        shape = (rows,) + (1,) * (block.dim() - 1)
        times = (torch.rand(shape, device=block.device) < kept).to(block.dtype).div_(kept)
        return block * (times if wanted is None else wanted.of_rows(times))

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"rate={self.rate}"
