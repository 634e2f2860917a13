"""Denoising of permuted sentences and infilled spans (BART, https://arxiv.org/abs/1910.13461)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw, counted, leading, random_order
from uer.data.spans import cut_sentences, fill
from uer.glossary import SeqLength, TgtSeqLength
from uer.maskings.base import require
from uer.processors._sequences import Marks, Texts, decoder_side, encoder_side, stretches
from uer.processors._span_corruption import CorruptionRate, MeanSpanLength
from uer.processors.base import Prepared, Processor
from uer.signature import Given

PermuteSentences = Annotated[float, "share of an instance's sentences that change places"]


class Bart(Processor):
    """Sentences change places, spans become one mask each; the decoder says the original text.

    An instance holds consecutive sentences of a document. Spans have Poisson lengths and do not
    touch; one of length 0 puts a mask where nothing is missing. Together they hide exactly the
    given share of the tokens. The source is never longer than the text. Texts are marked as by
    `t5`.
    """

    corpus: ClassVar[str] = "sentences"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "tgt.ids", "labels.lm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        corruption_rate: CorruptionRate = 0.3,
        mean_span_length: MeanSpanLength = 3.0,
        permute_sentences: PermuteSentences = 1.0,
        mask_id: Given[int],
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        require(
            (0 <= corruption_rate <= 1, f"corruption_rate: {corruption_rate} is not in [0, 1]."),
            (mean_span_length > 0, f"mean_span_length: {mean_span_length} is not positive."),
            (
                0 <= permute_sentences <= 1,
                f"permute_sentences: {permute_sentences} is not in [0, 1].",
            ),
        )
        self.seq_length, self.tgt_seq_length = seq_length, tgt_seq_length
        self.rate, self.permuted = corruption_rate, permute_sentences
        self.mean, self.mask_id, self.pad_id = mean_span_length, mask_id, pad_id
        self.chances = _poisson(mean_span_length)
        self.marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        self.require_seq_length(self.marks.size + 1, 2)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Fill instances with sentences; nothing is random here."""
        assert self.tgt_seq_length is not None
        room = min(self.seq_length - self.marks.size, self.tgt_seq_length - 1)
        text = cut_sentences(store.sides["src"], longest=room, size=room)
        first, end = fill(text, room)
        return stretches(text, first, end)

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Permute sentences, then hide spans."""
        ragged = gathered["src"]
        texts = Texts(ragged.ids, ragged.lengths())
        place = self._permuted(instances, ragged.which, draw)
        source = self._infilled(Texts(texts.ids[place], texts.lengths), ragged.which, draw)
        read, labels = decoder_side(texts, self.marks, ragged.which)
        return Prepared(
            {"src": encoder_side(source, self.marks, ragged.which), "tgt": read}, {"lm": labels}
        )

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`; the source's is a bound."""
        length = instances.length[:, 0].astype(np.int64)
        return {"src": length + self.marks.size, "tgt": length + 1}

    def _permuted(self, instances: Instances, which: Ints, draw: Draw) -> Ints:
        """[T] the token that stands at each place once sentences have changed places."""
        assert instances.offsets is not None
        first = instances.fields["first"][which]
        counts = instances.fields["end"][which] - first
        row, number = counted(counts)
        sentence = first[row] + number
        sizes = instances.offsets[sentence + 1] - instances.offsets[sentence]
        moving = np.ceil(self.permuted * counts).astype(np.int64)
        order = random_order(row, draw.bits("permute sentences", which[row], number))
        moved = leading(order, counts, moving)
        # Those that move take the places of those that move, in their random order.
        sequence = np.arange(len(row))
        sequence[np.sort(moved)] = moved
        starts = np.cumsum(sizes) - sizes
        _, inside = counted(sizes[sequence])
        return np.repeat(starts[sequence], sizes[sequence]) + inside

    def _infilled(self, texts: Texts, which: Ints, draw: Draw) -> Texts:
        """The texts with spans hidden behind one mask each."""
        missing = np.rint(self.rate * texts.lengths).astype(np.int64)
        left = texts.lengths - missing
        sizes, spans = self._spans(missing, left + 1, which, draw)
        # Spans lie in different gaps: before one of the tokens that are left, or at the end.
        row, gap = counted(left + 1)
        order = random_order(row, draw.bits("place of spans", which[row], gap))
        size = np.full(len(row), -1)
        size[leading(order, left + 1, spans)] = sizes
        # Every gap is followed by a token that stays, but for the last of its text.
        is_last = gap == left[row]
        hidden = np.maximum(size, 0)
        before = np.cumsum(hidden + ~is_last) - (hidden + ~is_last)  # tokens before each gap
        keeps = (size >= 0).astype(np.int64) + ~is_last
        first = np.cumsum(keeps) - keeps
        ids = np.empty(int(keeps.sum()), np.int64)
        ids[first[size >= 0]] = self.mask_id
        ids[(first + keeps - 1)[~is_last]] = texts.ids[(before + hidden)[~is_last]]
        return Texts(ids, left + spans)

    def _spans(self, missing: Ints, gaps: Ints, which: Ints, draw: Draw) -> tuple[Ints, Ints]:
        """Lengths of spans.

        Args:
            missing: [n] tokens that the spans of a text hide together.
            gaps: [n] how many spans a text has room for.
            which: [n] instance numbers.
            draw: the randomness of their epoch.

        Returns:
            The lengths, one text after the other, and [n] how many each text has.
        """
        most = np.minimum(missing, gaps)  # then the source is not longer than the text
        tries = int(most.max(initial=0))
        luck = draw.uniform("length of spans", which[:, None], np.arange(tries))
        sizes = np.searchsorted(self.chances, luck, side="right")
        total = np.cumsum(sizes, axis=1)
        # A span counts while tokens are missing; the last one takes exactly what is left.
        spans = np.minimum((total < missing[:, None]).sum(axis=1) + 1, most)
        column = np.arange(tries)
        last = column == spans[:, None] - 1
        sizes = np.where(last, missing[:, None] - (total - sizes), sizes)
        return sizes[column < spans[:, None]], spans


def _poisson(mean: float) -> np.ndarray:
    """Cumulative chances of 0, 1, 2, … up to where nothing is left."""
    numbers = range(int(mean + 12 * math.sqrt(mean)) + 12)
    chances = [
        math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in numbers
    ]
    return np.cumsum(chances)
