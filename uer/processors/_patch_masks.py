"""Which patches of an image are hidden."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Ints
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.images.base import Images

_SMALLEST = 16  # patches of a block, as far as so many are wanted
_NARROWEST = 0.3  # height of a block, divided by its width, or the other way round


def grid_of(images: Images, patch_size: int) -> tuple[int, int]:
    """(rows, columns) of the patches of an image.

    Raises:
        ConfigError: a patch does not fit.
    """
    rows, columns = images.height // patch_size, images.width // patch_size
    if not rows * columns:
        raise ConfigError(
            [
                f"patch_size: {patch_size} is larger than an image of {images.height} x "
                f"{images.width} pixels."
            ]
        )
    return rows, columns


def require_rate(rate: float, patches: int) -> None:
    """Refuse a share of patches that hides none, or all.

    Raises:
        ConfigError: it is such a share.
    """
    if not 0 < rate < 1 or patches < 2:
        raise ConfigError(
            [
                f"image_mask_rate: {rate} of {patches} patches; it must be between 0 and 1, and an "
                "image have two patches at least."
            ]
        )


def split_at_random(draw: Draw, which: Ints, patches: int, visible: int) -> tuple[Ints, Ints]:
    """Divide the patches of images into those that are read and the others.

    Args:
        draw: the epoch's randomness.
        which: [n] numbers of the instances.
        patches: P of each.
        visible: how many are read.

    Returns:
        int64 [n, visible] and [n, P - visible], ascending.
    """
    luck = draw.bits("patches", which[:, None], np.arange(patches)[None])
    order = np.argsort(luck, axis=1)
    return np.sort(order[:, :visible], axis=1), np.sort(order[:, visible:], axis=1)


def blocks(draw: Draw, which: Ints, grid: tuple[int, int], hidden: int) -> NDArray[np.bool_]:
    """Hide rectangles of patches until so many are hidden (BEiT, arXiv:2106.08254, algorithm 1).

    Each is of a random area, from 16 patches to what is missing, of a random shape and at a random
    place. Of the last one only the first patches count, so that every image has the same number.

    Args:
        draw: the epoch's randomness.
        which: [n] numbers of the instances.
        grid: (rows, columns) of the patches.
        hidden: how many are hidden.

    Returns:
        [n, P].
    """
    made = np.zeros((len(which), *grid), np.bool_)
    for image, number in zip(made, which.tolist(), strict=True):
        _hide(image, hidden, lambda counter, n=number: draw.uniform("block", n, counter))
    return made.reshape(len(which), -1)


def _hide(
    image: NDArray[np.bool_], hidden: int, luck: Callable[[Ints], NDArray[np.float64]]
) -> None:
    """Hide patches of one image [rows, columns], in place."""
    rows, columns = image.shape
    missing, step = hidden, 0
    while missing:
        area, shape, down, right = luck(4 * step + np.arange(4))
        size = min(_SMALLEST, missing) + area * (missing - min(_SMALLEST, missing))
        ratio = math.exp((2 * shape - 1) * math.log(1 / _NARROWEST))
        height = min(rows, max(1, round(math.sqrt(size * ratio))))
        width = min(columns, max(1, round(math.sqrt(size / ratio))))
        top, left = int(down * (rows - height + 1)), int(right * (columns - width + 1))
        block = image[top : top + height, left : left + width]
        new = np.argwhere(~block)[:missing]
        block[tuple(new.T)] = True
        missing -= len(new)
        step += 1
