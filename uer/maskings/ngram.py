"""Masking of n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import reachable
from uer.maskings.base import Candidates, Masking, MaskRate, MaskSplit, require
from uer.signature import Given


class NgramMasking(Masking):
    """Up to n words in a row together, fewer more often (ALBERT, arXiv:1909.11942).

    A group of n words is chosen with a chance in proportion to 1 / n. Where words start was noted
    by preprocessing.
    """

    whole: ClassVar[bool] = True

    def __init__(
        self,
        *,
        ngram_max_length: Annotated[int, "most words of a masked n-gram"] = 3,
        mask_rate: MaskRate = 0.15,
        mask_split: MaskSplit = (0.8, 0.1, 0.1),
        mask_id: Given[int],
        vocab_size: Given[int],
        special_ids: Given[Sequence[int]],
    ) -> None:
        super().__init__(
            mask_rate=mask_rate,
            mask_split=mask_split,
            mask_id=mask_id,
            vocab_size=vocab_size,
            special_ids=special_ids,
        )
        require((ngram_max_length >= 1, f"ngram_max_length: {ngram_max_length} is not positive."))
        chances = 1 / np.arange(1, ngram_max_length + 1)
        self.chances = np.cumsum(chances / chances.sum())[:-1]

    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """See `Masking.leaders`."""
        runs = some.heads()
        word = np.flatnonzero(runs | ragged.word_start[some.place])  # first candidate of each
        roots = np.flatnonzero(runs[word])
        luck = draw.uniform("mask n-gram", some.instance[word], some.column[word])
        number = np.arange(len(word))
        behind = np.append(roots[1:], len(word))[np.cumsum(runs[word]) - 1]  # where the run ends
        size = 1 + np.searchsorted(self.chances, luck, side="right")
        heads = np.zeros(len(some.place), np.bool_)
        heads[word[reachable(np.minimum(number + size, behind), roots)]] = True
        return np.maximum.accumulate(np.arange(len(heads)) * heads)
