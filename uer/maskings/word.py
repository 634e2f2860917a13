"""Masking of whole words."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from uer.data.instances import Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.maskings.base import Candidates, Masking


class WordMasking(Masking):
    """The tokens of a word together (https://arxiv.org/abs/1906.08101).

    Where words start was noted by preprocessing; for Chinese words preprocess with
    ``--words jieba``.
    """

    whole: ClassVar[bool] = True

    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """See `Masking.leaders`."""
        heads = some.heads() | ragged.word_start[some.place]
        return np.maximum.accumulate(np.arange(len(heads)) * heads)
