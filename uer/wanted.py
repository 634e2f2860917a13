"""Which vectors of a stack's result anybody reads; the last layer need not make the others.

Classification reads one token of a document, masked language modelling every seventh. What does not
depend on other tokens (the query, the map behind attention, the feed-forward block) is most of a
layer, and the last one does it for these tokens only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Wanted:
    """Vectors of [B, L, H] states that are read.

    Args:
        index: [M] their flat positions ``row * L + column``, none twice.
        shape: B and L.
    """

    index: torch.Tensor
    shape: tuple[int, int]

    @functools.cached_property
    def column(self) -> int | None:
        """Where exactly this one of every row is wanted; None otherwise, or if a GPU knows it."""
        rows, length = self.shape
        if self.index.device.type != "cpu" or len(self.index) != rows or not rows:
            return None
        column = int(self.index[0])
        aligned = torch.arange(column, rows * length, length)
        return column if torch.equal(self.index, aligned) else None

    def take(self, vectors: torch.Tensor) -> torch.Tensor:
        """[B, L, …] → [M, …] those that are read."""
        return vectors.flatten(0, 1).index_select(0, self.index)

    def place(self, vectors: torch.Tensor, others: float) -> torch.Tensor:
        """[M, …] → [B, L, …] with a number for all that is not wanted."""
        whole = vectors.new_full((self.shape[0] * self.shape[1], *vectors.shape[1:]), others)
        return whole.index_copy(0, self.index, vectors).unflatten(0, self.shape)

    def of_rows(self, values: torch.Tensor) -> torch.Tensor:
        """[B, …] → [M, …] of the row that each vector stands in."""
        return values.index_select(0, self.index // self.shape[1])


def joined(asked: list[torch.Tensor | None]) -> torch.Tensor | None:
    """All positions that several readers want, none twice.

    Args:
        asked: [M] positions of each reader, or None: it may read all.

    Returns:
        [M] positions; None where all may be read, and where to tell would mean to wait for a GPU.
    """
    some = [one for one in asked if one is not None]
    if not some or len(some) < len(asked):
        return None
    if len(some) == 1:
        return some[0]
    return torch.cat(some).unique() if some[0].device.type == "cpu" else None
