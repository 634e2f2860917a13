"""Span corruption for encoder-decoder models (T5, https://arxiv.org/abs/1910.10683)."""

from __future__ import annotations

from collections.abc import Sequence

from uer.data.instances import Ints
from uer.glossary import SeqLength, TgtSeqLength
from uer.maskings.base import require
from uer.processors._sequences import Marks
from uer.processors._span_corruption import CorruptionRate, MeanSpanLength, Noise
from uer.processors._span_processor import SpanProcessor
from uer.signature import Given


class T5(SpanProcessor):
    """Spans of a text are hidden behind sentinels, the decoder says them one after the other.

    Texts end with eos, or else sep; the decoder starts with cls, or else bos, or else pad: a
    vocabulary of T5 gives T5's sequences, one of BERT those of the predecessors.
    """

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        corruption_rate: CorruptionRate = 0.15,
        mean_span_length: MeanSpanLength = 3.0,
        sentinel_ids: Given[Sequence[int]],
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        require(
            (0 < corruption_rate < 1, f"corruption_rate: {corruption_rate} is not in (0, 1)."),
            (mean_span_length >= 1, f"mean_span_length: {mean_span_length} is less than 1."),
        )
        self.pad_id = pad_id
        self.rate, self.mean = corruption_rate, mean_span_length
        marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        self.set_up(seq_length, tgt_seq_length, marks, sentinel_ids)

    def noise(self, lengths: Ints, kind: Ints) -> Noise:
        """See `SpanProcessor.noise`."""
        return Noise.of(lengths, self.rate, self.mean)
