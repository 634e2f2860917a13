"""A global shuffle without a table: position → instance, computed where it is needed.

A Feistel network turns any hash into a bijection of 2**(2k) numbers; numbers that fall outside
0 … size-1 walk on until they are inside, which keeps it a bijection. A run over billions of
instances is shuffled as a whole, needs no memory for it and can be resumed anywhere.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from uer.data.randomness import Bits, mix

_ROUNDS = 6
T = TypeVar("T")


def permute(index: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Where a shuffle of ``size`` items puts positions.

    Args:
        index: [n] positions in 0 … size-1.
        size: how many items are shuffled.
        key: which shuffle, 64 bits.

    Returns:
        [n] items; over all positions every item once.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = mix(np.uint64(key) + np.arange(1, _ROUNDS + 1, dtype=np.uint64))
    items = _feistel(index.astype(np.uint64), half, keys)
    outside = np.flatnonzero(items >= size)
    while len(outside):
        items[outside] = _feistel(items[outside], half, keys)
        outside = outside[items[outside] >= size]
    return items.astype(np.int64)


def permuted(items: list[T], key: int) -> list[T]:
    """A list in the order of a shuffle."""
    return [items[number] for number in permute(np.arange(len(items)), len(items), key)]


def _feistel(items: Bits, half: int, keys: Bits) -> Bits:
    """One pass over numbers of ``2 * half`` bits."""
    shift, low = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = items >> shift, items & low
    for key in keys:
        left, right = right, left ^ (mix(right + key) & low)
    return (left << shift) | right
