"""Masking of one stretch in every block of tokens."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from uer.data.instances import Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.maskings.base import Candidates, Masking, MaskRate, MaskSplit
from uer.signature import Given


class BlockMasking(Masking):
    """One contiguous stretch at a random place of every 64 tokens (ProphetNet, arXiv:2001.04063).

    The stretches of an instance have their share of its tokens together, 9 or 10 of each 64; a last
    block that is shorter has a shorter one, and every instance has one at least.
    """

    def __init__(
        self,
        *,
        mask_rate: MaskRate = 0.15,
        mask_split: MaskSplit = (0.8, 0.1, 0.1),
        mask_block: Annotated[int, "tokens of a block in which one stretch is masked"] = 64,
        mask_id: Given[int],
        vocab_size: Given[int],
        special_ids: Given[list[int]],
    ) -> None:
        super().__init__(
            mask_rate=mask_rate,
            mask_split=mask_split,
            mask_id=mask_id,
            vocab_size=vocab_size,
            special_ids=special_ids,
        )
        if mask_block < 1:
            raise ConfigError([f"mask_block: {mask_block} must be at least 1."])
        self.block = mask_block

    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """See `Masking.leaders`: groups are the blocks."""
        number = np.arange(len(some.place))
        return number - (number - _starts(some)[some.row]) % self.block

    def _choose(self, some: Candidates, leader: Ints, draw: Draw) -> Ints:
        """[M] the candidates that are predicted, ascending: a stretch of each block."""
        first, size = np.unique(leader, return_counts=True)
        row = some.row[first]
        before = first - _starts(some)[row]
        # What an instance's share grows by from the beginning of a block to its end.
        counts = np.bincount(some.row, minlength=int(row.max(initial=-1)) + 1)
        end = before + size
        upto = np.where(end == counts[row], self.share(counts)[row], _rounded(self.rate * end))
        share = upto - np.where(before == 0, 0, _rounded(self.rate * before))
        shift = draw.integers("mask", some.instance[first], size - share + 1, some.column[first])
        ahead = first + shift - (np.cumsum(share) - share)
        return np.arange(share.sum()) + np.repeat(ahead, share)


def _starts(some: Candidates) -> Ints:
    """[R] the first candidate of each row."""
    counts = np.bincount(some.row)
    return np.cumsum(counts) - counts


def _rounded(values: np.ndarray) -> Ints:
    return np.rint(values).astype(np.int64)
