"""How many frames convolutions make of a row: known to models, and to processors without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The convolutions of wav2vec 2.0.
KERNEL_SIZES = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)


def frames_after(
    lengths: Any, kernel_sizes: Sequence[int], strides: Sequence[int], padding: bool
) -> Any:
    """How many frames convolutions make of a row; the one place where this is computed.

    Args:
        lengths: frames or samples of each row: an integer, an array or a tensor.
        kernel_sizes: of the convolutions, in order.
        strides: of the convolutions.
        padding: each convolution reads ``kernel_size // 2`` zeros before and behind the row
            (Speech2Text); False: it reads no zeros at all (wav2vec 2.0).

    Returns:
        As many numbers as there are lengths, of the same type; 0 where a row is too short.
    """
    for kernel, stride in zip(kernel_sizes, strides, strict=True):
        made = (lengths + 2 * (kernel // 2) * padding - kernel) // stride + 1
        lengths = made * (made > 0)
    return lengths


def shortest(kernel_sizes: Sequence[int], strides: Sequence[int], padding: bool) -> int:
    """The least number of frames or samples of which the convolutions make one frame."""
    least = 1
    for kernel, stride in zip(reversed(kernel_sizes), reversed(strides), strict=True):
        least = max(1, (least - 1) * stride + kernel - 2 * (kernel // 2) * padding)
    return least
