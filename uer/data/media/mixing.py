"""Images of a batch mixed in pairs, and their labels with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uer.data.randomness import Draw


def mix_images(
    images: NDArray[np.float32],
    labels: NDArray,
    *,
    classes: int,
    mixup: float,
    cutmix: float,
    draw: Draw,
    number: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mix every image with the one that stands opposite in the batch, all in the same proportion.

    Where both ways are allowed, each batch takes one of them by chance.

    Args:
        images: [n, C, H, W]; changed in place.
        labels: [n] classes or [n, C] shares.
        classes: how many there are.
        mixup: alpha of Beta(alpha, alpha), from which the proportion is drawn; 0: not this way.
        cutmix: the same for a rectangle of the other image.
        draw: the epoch's randomness.
        number: of the batch's first instance; what is drawn depends on it.

    Returns:
        The images, and [n, classes] soft labels.
    """
    shares = np.eye(classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels
    random = np.random.default_rng(int(draw.bits("mixing", number)[0]))
    cut = cutmix > 0 and (mixup == 0 or random.random() < 0.5)
    alpha = cutmix if cut else mixup
    own = random.beta(alpha, alpha)
    if cut:
        own = _paste(images, own, random)
    else:
        others = images[::-1] * np.float32(1 - own)
        images *= np.float32(own)
        images += others
    return images, (shares * own + shares[::-1] * (1 - own)).astype(np.float32)


def _paste(images: NDArray[np.float32], own: float, random: np.random.Generator) -> float:
    """Put a rectangle of 1 - ``own`` of the area in; it may be cut off at the border.

    Returns:
        The share of an image that is still its own.
    """
    height, width = images.shape[2:]
    part = np.sqrt(1 - own)
    middle = random.integers(height), random.integers(width)
    top, left = (
        max(0, int(m - part * size / 2)) for m, size in zip(middle, (height, width), strict=True)
    )
    bottom, right = (
        min(size, int(m + part * size / 2)) for m, size in zip(middle, (height, width), strict=True)
    )
    place = np.s_[:, :, top:bottom, left:right]
    images[place] = images[::-1][place].copy()
    return 1 - (bottom - top) * (right - left) / (height * width)
