"""What processors that hide spans share: instances as long as source and target have room for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import cut_sentences, fill
from uer.errors import ConfigError
from uer.processors._sequences import Marks, Texts, decoder_side, encoder_side
from uer.processors._span_corruption import Noise, corrupt
from uer.processors.base import Prepared, Processor

LAYOUT = ((Span(0),),)


class SpanProcessor(Processor):
    """Consecutive sentences of a document with hidden spans, which the decoder says.

    An instance holds as many sentences as fit *after* corruption, in source and target, and as
    there are sentinels for; a sentence that no instance can hold is cut into several. Every token
    stands in exactly one instance of an epoch.
    """

    corpus: ClassVar[str] = "lines"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "tgt.ids", "labels.lm"})
    extra: ClassVar[int] = 0
    marks: Marks
    sentinels: Ints

    def set_up(
        self, seq_length: int, tgt_seq_length: int, marks: Marks, sentinel_ids: Sequence[int]
    ) -> None:
        """Note what every subclass knows.

        Raises:
            ConfigError: there are too few sentinels for a single span.
        """
        self.seq_length, self.tgt_seq_length = seq_length, tgt_seq_length
        self.marks, self.sentinels = marks, np.asarray(sentinel_ids, np.int64)
        if len(self.sentinels) < 2:
            raise ConfigError(
                [
                    f"the processor '{self.name}' has too few sentinels: two must be left "
                    f"for spans, there are {len(self.sentinels)}; take a vocabulary with more "
                    "tokens <extra_id_0>, <extra_id_1>, …"
                ]
            )
        self.require_seq_length(self._source_extra + 1, 4)

    @abstractmethod
    def noise(self, lengths: Ints, kind: Ints) -> Noise:
        """How much is hidden.

        Args:
            lengths: [n] tokens of each text.
            kind: [n] the kind of corruption of each.
        """

    def kinds(self) -> int:
        """How many kinds of corruption there are; each instance gets one in every epoch."""
        return 1

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Fill instances with sentences, and choose how each is corrupted."""
        room = self._room()
        text = cut_sentences(store.sides["src"], longest=room, size=room)
        first, end = fill(text, room)
        start = text.offsets[first]
        number = np.arange(len(first))
        kind = draw.integers("kind of corruption", number, self.kinds())
        return Instances(
            LAYOUT,
            np.zeros(len(first), np.uint8),
            start[:, None],
            (text.offsets[end] - start).astype(np.int32)[:, None],
            {"kind": kind.astype(np.uint8)},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Hide spans."""
        ragged = gathered["src"]
        texts, kind = Texts(ragged.ids, ragged.lengths()), instances.fields["kind"][ragged.which]
        noise = self.noise(texts.lengths, kind)
        source, said = corrupt(texts, noise, self.sentinels, ragged.which, draw)
        read, labels = decoder_side(said, self.marks, ragged.which)
        source = self.marked(source, kind)
        return Prepared(
            {"src": encoder_side(source, self.marks, ragged.which), "tgt": read}, {"lm": labels}
        )

    def marked(self, source: Texts, kind: Ints) -> Texts:
        """The sources with what tells the kinds of corruption apart, `extra` tokens each."""
        return source

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`; exact."""
        return self._lengths(
            instances.length[:, 0].astype(np.int64), instances.fields["kind"].astype(np.int64)
        )

    def _lengths(self, lengths: Ints, kind: Ints) -> dict[str, Ints]:
        noise = self.noise(lengths, kind)
        return {"src": noise.source(lengths) + self._source_extra, "tgt": noise.target() + 1}

    @property
    def _source_extra(self) -> int:
        return self.marks.size + self.extra

    def _room(self) -> int:
        """The longest text up to which all texts fit, whatever their kind of corruption."""
        assert self.tgt_seq_length is not None
        lengths = np.arange(1, self.seq_length + self.tgt_seq_length)
        fits = np.ones(len(lengths), np.bool_)
        for number in range(self.kinds()):
            kind = np.full(len(lengths), number)
            sides = self._lengths(lengths, kind)
            fits &= (sides["src"] <= self.seq_length) & (sides["tgt"] <= self.tgt_seq_length)
            fits &= self.noise(lengths, kind).spans < len(self.sentinels)
        return len(fits) if fits.all() else int(fits.argmin())
