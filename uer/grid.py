"""How the patches of an image lie in a sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from uer.errors import DataError


class Grid(NamedTuple):
    """The patches of images in a sequence, row by row.

    Args:
        known: (rows, columns) that the model was made for: those of its tables of positions.
        actual: (rows, columns) of the images at hand.
        before: tokens in front of the first patch.
    """

    known: tuple[int, int]
    actual: tuple[int, int]
    before: int

    @property
    def stretched(self) -> bool:
        """The images have another size than the model was made for."""
        return self.known != self.actual


def stretch(table: torch.Tensor, grid: Grid, *, corners: bool = False) -> torch.Tensor:
    """A table of positions for images of another size.

    Args:
        table: [before + rows * columns or more, E] of the known grid.
        grid: the known grid and the one that is needed.
        corners: bilinear between the outermost patches; False: bicubic between the image's edges.

    Returns:
        [before + rows * columns, E] of the actual grid.

    Raises:
        DataError: the table was made for something else.
    """
    (height, width), before = grid.known, grid.before
    if table.shape[0] < before + height * width:
        raise DataError(
            f"a table of {table.shape[0]} positions cannot be stretched over images of another "
            f"size: it holds no {height} x {width} patches behind {before} tokens."
        )
    patches = table[before : before + height * width].T.reshape(1, -1, height, width)
    mode = "bilinear" if corners else "bicubic"
    larger = F.interpolate(patches.float(), grid.actual, mode=mode, align_corners=corners)
    return torch.cat([table[:before], larger[0].flatten(1).T.to(table.dtype)])
