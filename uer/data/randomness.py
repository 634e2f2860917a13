"""Randomness as a function instead of a state.

Every draw depends on (seed, epoch, purpose, id, counter) and on nothing else: not on the rank, the
batch, the order of calls or the number of workers. So a run can be resumed, spread over more ranks
or packed differently without changing a single random decision. The function is a hash of 64-bit
words, computed for whole arrays: splitmix64's finaliser (Steele, Lea, Flood 2014,
https://doi.org/10.1145/2714064.2660195) once over the ids and once more over the counters.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits: TypeAlias = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD = 64
_ROW_BITS, _LUCK_BITS, _NUMBER_BITS = 16, 26, 22  # of a sort key


def mix(words: Bits) -> Bits:
    """Scramble 64-bit words; a bijection in which every output bit depends on every input bit.

    Args:
        words: array of one dimension or more.
    """
    words = words ^ (words >> np.uint64(30))
    words *= _FIRST
    words ^= words >> np.uint64(27)
    words *= _SECOND
    words ^= words >> np.uint64(31)
    return words


class Draw:
    """The random decisions of one epoch.

    Args:
        seed: the run's seed.
        epoch: number of the pass over the data, from 0.
    """

    def __init__(self, seed: int, epoch: int) -> None:
        self.seed, self.epoch = seed, epoch

    def key(self, purpose: str) -> int:
        """The 64-bit number that all draws for ``purpose`` start from."""
        text = f"{self.seed}/{self.epoch}/{purpose}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")

    def bits(self, purpose: str, ids: ArrayLike, counters: ArrayLike | None = None) -> Bits:
        """64 random bits per id, or per pair of id and counter.

        Args:
            purpose: what is decided; other purposes give independent bits.
            ids: whom it is decided for, non-negative integers.
            counters: which of its decisions, broadcast against ``ids``.

        Returns:
            Array of the broadcast shape, of one dimension at least.
        """
        words = mix(np.uint64(self.key(purpose)) + _words(ids) * _STEP)
        return words if counters is None else mix(words + (_words(counters) + np.uint64(1)) * _STEP)

    def uniform(
        self, purpose: str, ids: ArrayLike, counters: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Numbers in [0, 1), multiples of 2**-53; arguments as for `bits`."""
        return (self.bits(purpose, ids, counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(
        self, purpose: str, ids: ArrayLike, high: ArrayLike, counters: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Integers in 0 … high-1.

        Args:
            purpose: as for `bits`.
            ids: as for `bits`.
            high: positive bound below 2**52, broadcast against ``ids``.
            counters: as for `bits`.
        """
        return (self.uniform(purpose, ids, counters) * np.asarray(high)).astype(np.int64)

    def heads(
        self, purpose: str, ids: NDArray[np.int64], tosses: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How often a fair coin shows heads in so many tosses: Binomial(tosses, 1/2), exactly.

        Args:
            purpose: as for `bits`.
            ids: [n] as for `bits`.
            tosses: [n] non-negative.
        """
        total = np.zeros(len(ids), np.int64)
        for counter in range(-(-int(tosses.max(initial=0)) // _WORD)):
            left = np.clip(tosses - counter * _WORD, 0, _WORD).astype(np.uint64)
            words = self.bits(purpose, ids, counter)
            # A shift by all 64 bits is undefined, so no toss at all is masked out instead.
            tossed = np.where(left > 0, words >> (np.uint64(_WORD) - np.maximum(left, 1)), 0)
            total += np.bitwise_count(tossed)
        return total


def random_order(row: NDArray[np.int64], luck: Bits) -> NDArray[np.int64]:
    """[C] candidates by row, then by luck, then by number.

    All of it is packed into the keys: sorting them is much faster than looking for the order, and
    has one result only.

    Args:
        row: [C] the row of each candidate, ascending.
        luck: [C] random bits.
    """
    assert len(row) < 1 << _NUMBER_BITS, "more tokens than a batch can hold"
    assert row.max(initial=0) < 1 << _ROW_BITS, "more instances than a batch can hold"
    luck = luck >> np.uint64(64 - _LUCK_BITS) << np.uint64(_NUMBER_BITS)
    keys = row.astype(np.uint64) << np.uint64(_LUCK_BITS + _NUMBER_BITS) | luck
    keys = np.sort(keys | np.arange(len(row), dtype=np.uint64))
    return (keys & np.uint64((1 << _NUMBER_BITS) - 1)).astype(np.int64)


def leading(
    order: NDArray[np.int64], counts: NDArray[np.int64], share: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first candidates of every row, row after row.

    Args:
        order: [C] the candidates, row after row.
        counts: [R] candidates of each row.
        share: [R] how many are wanted, no more than there are.
    """
    ahead = np.cumsum(counts) - counts - (np.cumsum(share) - share)
    return order[np.arange(share.sum()) + np.repeat(ahead, share)]


def counted(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[C] the row of each of ``counts`` [R] candidates, and its number in the row."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


def _words(values: ArrayLike) -> Bits:
    """As unsigned words; arrays wrap around silently where numpy's scalars would warn."""
    return np.atleast_1d(np.asarray(values)).astype(np.uint64)
