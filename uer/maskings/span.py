"""Masking of random spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.maskings.base import Candidates, Masking, MaskRate, MaskSplit, require
from uer.signature import Given


class SpanMasking(Masking):
    """Spans of geometric length, each treated in one way (SpanBERT, arXiv:1907.10529)."""

    alike: ClassVar[bool] = True

    def __init__(
        self,
        *,
        span_geo_prob: Annotated[float, "chance that a masked span ends after a token"] = 0.2,
        span_max_length: Annotated[int, "longest masked span"] = 10,
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
        require(
            (0 < span_geo_prob <= 1, f"span_geo_prob: {span_geo_prob} is not in (0, 1]."),
            (span_max_length >= 1, f"span_max_length: {span_max_length} is not positive."),
        )
        self.geo_prob, self.max_length = span_geo_prob, span_max_length

    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """See `Masking.leaders`."""
        number = np.arange(len(some.place))
        heads = some.heads()
        heads |= draw.uniform("mask span", some.instance, some.column) < self.geo_prob
        # What is left of a geometric length is geometric again: a cut span simply starts anew.
        heads |= (number - np.maximum.accumulate(number * heads)) % self.max_length == 0
        return np.maximum.accumulate(number * heads)
