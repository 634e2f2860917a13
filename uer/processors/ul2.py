"""Mixture of denoisers (UL2, https://arxiv.org/abs/2205.05131)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Ints
from uer.glossary import SeqLength, TgtSeqLength
from uer.maskings.base import require
from uer.processors._sequences import Marks, Texts
from uer.processors._span_corruption import Noise
from uer.processors._span_processor import SpanProcessor
from uer.signature import Given

MODES = ("R", "S", "X")
# The paper's seven, equally likely; the only span of S is a quarter of the text long.
PAPER = (
    ("R", 3.0, 0.15),
    ("R", 8.0, 0.15),
    ("S", 1.0, 0.25),
    ("X", 3.0, 0.5),
    ("X", 8.0, 0.5),
    ("X", 64.0, 0.15),
    ("X", 64.0, 0.5),
)

Denoisers = Annotated[
    list[tuple[str, float, float]],
    "denoisers to choose from, equally likely: mode (R, S or X), mean length of the hidden spans, "
    "share of the tokens that is hidden; S hides one span, the end of the text",
]


class Ul2(SpanProcessor):
    """Each text is corrupted by one of several denoisers, drawn anew in every epoch.

    The encoder reads the denoiser's mode before the text: the last three sentinels of the
    vocabulary stand for the modes R, S and X, the others for spans. Otherwise as `t5`.
    """

    extra: ClassVar[int] = 1

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        denoisers: Denoisers = PAPER,  # type: ignore[assignment]
        sentinel_ids: Given[Sequence[int]],
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        require((len(denoisers) > 0, "denoisers: there is none."))
        for mode, mean, rate in denoisers:
            require(
                (mode in MODES, f"denoisers: the mode {mode!r} is none of R, S, X."),
                (mean >= 1, f"denoisers: the mean span length {mean} is less than 1."),
                (0 < rate < 1, f"denoisers: the rate {rate} is not in (0, 1)."),
            )
        modes, means, rates = zip(*denoisers, strict=True)
        self.pad_id = pad_id
        self.mode = np.array([MODES.index(mode) for mode in modes])
        self.mean, self.rate = np.array(means), np.array(rates)
        self.mode_ids = np.asarray(sentinel_ids[-len(MODES) :], np.int64)
        marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        self.set_up(seq_length, tgt_seq_length, marks, sentinel_ids[: -len(MODES)])

    def kinds(self) -> int:
        """See `SpanProcessor.kinds`."""
        return len(self.mode)

    def noise(self, lengths: Ints, kind: Ints) -> Noise:
        """See `SpanProcessor.noise`."""
        one_span = self.mode[kind] == MODES.index("S")
        return Noise.of(lengths, self.rate[kind], self.mean[kind], one_span)

    def marked(self, source: Texts, kind: Ints) -> Texts:
        """See `SpanProcessor.marked`."""
        return source.wrap(front=self.mode_ids[self.mode[kind]])
