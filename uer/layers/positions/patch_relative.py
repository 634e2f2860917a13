"""Relative positions of patches as a learnt bias."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.errors import DataError
from uer.glossary import HeadsNum, ImageHeight, ImageWidth, PatchSize
from uer.grid import Grid
from uer.layers.base import Placement, Position
from uer.layers.linear import table
from uer.layers.positions.relative import Bias
from uer.masks import AttentionMask

_OF_TOKENS = 3  # from a token to a patch, from a patch to a token, between tokens


class PatchRelativePosition(Position):
    """A learnt number per head, and distance of two patches in rows and columns (BEiT).

    (arXiv:2106.08254.) Tokens in front of the patches have three numbers: one towards patches, one
    seen from patches, one among themselves. For images of another size the table is stretched.
    """

    def __init__(
        self,
        *,
        heads_num: HeadsNum,
        image_height: ImageHeight,
        image_width: ImageWidth,
        patch_size: PatchSize,
    ) -> None:
        super().__init__()
        self.known = _distances(image_height // patch_size, image_width // patch_size)
        self.weight = table(self.known[0] * self.known[1] + _OF_TOKENS, heads_num)

    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """The bias [B or 1, N, Lq, Lk].

        Raises:
            DataError: the sequence is no image.
        """
        grid = mask.key.grid
        if grid is None:
            raise DataError(
                "position 'patch_relative' knows where patches lie, and this sequence is no image; "
                "choose embedding: patch or masked_patch."
            )
        bucket = buckets(mask.query.places(device), mask.key.places(device), grid)
        return Bias(F.embedding(bucket, self._table(grid)).permute(0, 3, 1, 2))

    def no_decay(self) -> list[nn.Parameter]:
        """The table: its entries are biases."""
        return [self.weight]

    def _table(self, grid: Grid) -> torch.Tensor:
        """[distances + 3, N] for the images at hand."""
        needed = _distances(*grid.actual)
        if needed == self.known:
            return self.weight
        of_patches, of_tokens = self.weight[:-_OF_TOKENS], self.weight[-_OF_TOKENS:]
        plane = of_patches.T.reshape(1, -1, *self.known)
        larger = F.interpolate(plane, needed, mode="bilinear", align_corners=False)
        return torch.cat([larger[0].flatten(1).T, of_tokens])


def buckets(query: torch.Tensor, key: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The row of the table for every pair of positions.

    Args:
        query: [B or 1, Lq] positions; those before ``grid.before`` are tokens.
        key: [B or 1, Lk] positions.
        grid: how the patches lie.

    Returns:
        int64 [B or 1, Lq, Lk].
    """
    rows, columns = grid.actual
    here, there = query[:, :, None] - grid.before, key[:, None, :] - grid.before
    down = here.div(columns, rounding_mode="floor") - there.div(columns, rounding_mode="floor")
    right = here.remainder(columns) - there.remainder(columns)
    of_patches = (down + rows - 1) * (2 * columns - 1) + right + columns - 1
    height, width = _distances(rows, columns)
    from_token, to_token = here < 0, there < 0
    of_tokens = height * width + to_token.long() + (from_token & to_token).long()
    return torch.where(from_token | to_token, of_tokens, of_patches)


def _distances(rows: int, columns: int) -> tuple[int, int]:
    """How many distances there are between patches, along both sides of an image."""
    return 2 * rows - 1, 2 * columns - 1
