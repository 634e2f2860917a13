"""Which vectors of a stack's result anybody reads; the last layer need not make the others.

Classification reads one token of a document, masked language modelling every seventh. What does not
depend on other tokens (the query, the map behind attention, the feed-forward block) is most of a
layer, and the last one does it for these tokens only. No shape depends on what a tensor holds, so
that nothing waits for a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

Places = torch.Tensor | int
"""[M] flat positions ``row * L + column``, none twice; or the column that is read in all rows."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """M vectors of [B, L, H] states that are read.

    Args:
        places: where they are; a position behind the last stands for none, and its vector is made
            in vain.
        shape: B and L.
    """

    places: Places
    shape: tuple[int, int]

    @staticmethod
    def by_all(asked: list[Places | None], shape: tuple[int, int]) -> Wanted | None:
        """What several readers want.

        Args:
            asked: the places of each; None: it may read all.
            shape: B and L.

        Returns:
            None, if all may be read.
        """
        some = [one for one in asked if one is not None]
        if not some or len(some) < len(asked):
            return None
        tensors = [one for one in some if isinstance(one, torch.Tensor)]
        if (not tensors and len(set(some)) == 1) or len(some) == 1:
            return Wanted(some[0], shape)
        device = tensors[0].device if tensors else None
        end = shape[0] * shape[1]
        for column in {one for one in some if isinstance(one, int)}:
            tensors.append(torch.arange(column, end, shape[1], device=device))
        place = torch.cat(tensors).sort().values
        again = F.pad(place[1:] == place[:-1], (1, 0))
        return Wanted(place.masked_fill(again, end), shape)

    def take(self, vectors: torch.Tensor) -> torch.Tensor:
        """[B, L, …] → [M, …] those that are read."""
        if isinstance(self.places, int):
            return vectors[:, self.places]
        place = self.places.clamp(max=self.shape[0] * self.shape[1] - 1)
        return vectors.flatten(0, 1).index_select(0, place)

    def place(self, vectors: torch.Tensor, others: float) -> torch.Tensor:
        """[M, …] → [B, L, …] with a number for all that is not wanted."""
        rows, length = self.shape
        if isinstance(self.places, int):
            whole = vectors.new_full((rows, length, *vectors.shape[1:]), others)
            whole[:, self.places] = vectors
            return whole
        whole = vectors.new_full((rows * length + 1, *vectors.shape[1:]), others)
        return whole.index_copy(0, self.places, vectors)[:-1].unflatten(0, self.shape)

    def of_rows(self, values: torch.Tensor) -> torch.Tensor:
        """[B, …] → [M, …] of the row that each vector stands in."""
        if isinstance(self.places, int):
            return values
        return values.index_select(0, (self.places // self.shape[1]).clamp(max=self.shape[0] - 1))
