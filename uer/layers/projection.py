"""Heads that turn pooled states into vectors to be compared."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.layers.linear import Linear, table


class BatchNorm(nn.Module):
    """Normalises every feature over the rows of a batch, in training and in evaluation alike.

    Rows of this process only. There are no running statistics: nothing but the comparison within
    a batch ever reads the result.
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, F] → [n, F]."""
        rows = rows.float()
        if rows.shape[0] == 0:
            return rows * self.weight + self.bias
        variance, mean = torch.var_mean(rows, 0, correction=0)
        return (rows - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    def no_decay(self) -> list[nn.Parameter]:
        """Both."""
        return [self.weight, self.bias]


def batch_norm_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear map, batch norm, ReLU, linear map (BYOL, arXiv:2006.07733)."""
    return nn.Sequential(
        Linear(inputs, hidden), BatchNorm(hidden), nn.ReLU(), Linear(hidden, outputs)
    )


class PrototypeHead(nn.Module):
    """Three linear maps to a unit vector, compared with unit prototypes (DINO, arXiv:2104.14294).

    Args:
        inputs: width of what comes in.
        hidden: inner width.
        size: width of the unit vectors.
        prototypes: how many there are.
    """

    def __init__(self, inputs: int, hidden: int, size: int, prototypes: int) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            Linear(inputs, hidden), nn.GELU(), Linear(hidden, hidden), nn.GELU()
        )
        self.output = Linear(hidden, size)
        self.prototypes = table(prototypes, size)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[n, inputs] → [n, size] unit vectors."""
        return F.normalize(self.output(self.maps(vectors)).float(), dim=-1, eps=1e-6)

    def scores(self, units: torch.Tensor, learnt: torch.Tensor | float = 1.0) -> torch.Tensor:
        """[n, size] → [n, K] cosines with every prototype.

        Args:
            units: of `forward`.
            learnt: [] 1 where prototypes receive gradients, 0 where they stay as they are.
        """
        directions = F.normalize(self.prototypes, dim=-1)
        rest = directions.detach()
        return units @ (rest + learnt * (directions - rest)).T

    def no_decay(self) -> list[nn.Parameter]:
        """The prototypes: only their directions count."""
        return [self.prototypes]
