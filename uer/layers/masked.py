"""The vector that stands for what a model is not to see."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import DataError


class MaskVector(nn.Module):
    """One learnt vector that takes the place of masked frames or patches.

    Args:
        width: E.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width).uniform_())

    def forward(self, hidden: torch.Tensor, masked: torch.Tensor | None) -> torch.Tensor:
        """Exchange vectors.

        Args:
            hidden: [B, P, E].
            masked: [B, P] where; None: nowhere.

        Returns:
            [B, P, E], connected to the vector in any case.

        Raises:
            DataError: the mask is of another length.
        """
        if masked is None:
            return hidden + 0.0 * self.weight if self.training else hidden
        if masked.shape != hidden.shape[:2]:
            raise DataError(
                f"the mask of the batch is {list(masked.shape)} and the model makes "
                f"{list(hidden.shape[:2])} frames or patches; the data processor and the embedding "
                "must know the same patch, kernel and stride sizes."
            )
        return torch.where(masked[..., None], self.weight.to(hidden.dtype), hidden)

    def no_decay(self) -> list[nn.Parameter]:
        """The vector."""
        return [self.weight]
