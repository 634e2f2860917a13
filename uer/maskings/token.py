"""Masking of single tokens."""

from __future__ import annotations

import numpy as np

from uer.data.instances import Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.maskings.base import Candidates, Masking


class TokenMasking(Masking):
    """Every token for itself (BERT, https://arxiv.org/abs/1810.04805)."""

    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """See `Masking.leaders`."""
        return np.arange(len(some.place))
