"""Masked language modelling on single texts (RoBERTa, https://arxiv.org/abs/1907.11692)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Layout, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import Sentences, cut_sentences, ends_inside, reachable
from uer.glossary import SeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared, Processor
from uer.signature import Given, default

FullSentences = Annotated[
    bool, "fill instances across the borders of documents, with [SEP] between two documents"
]


class Mlm(Processor):
    """Whole sentences of a document, masked: [CLS] sentences [SEP].

    Consecutive sentences fill an instance as long as they fit; a sentence that no instance can hold
    is cut into several. Every token stands in exactly one instance of an epoch.
    """

    corpus: ClassVar[str] = "lines"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "labels.mlm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        full_sentences: FullSentences = False,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        self.seq_length, self.full_sentences = seq_length, full_sentences
        self.pad_id, self.cls_id, self.sep_id = pad_id, cls_id, sep_id
        self.masking = masking
        self.require_seq_length(3)

    @property
    def room(self) -> int:
        """Tokens of text that an instance can hold."""
        return self.seq_length - 2

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Fill instances with sentences; nothing is random here."""
        room = self.room
        text = cut_sentences(store.sides["src"], longest=room, size=room)
        if self.full_sentences:
            ends, roots = _ends_across(text, room), np.zeros(1, np.int64)
        else:
            ends, roots = ends_inside(text, room), text.documents[:-1]
        first = np.flatnonzero(reachable(ends, roots))
        start, length = _documents_of(text, first, ends[first])
        return Instances(
            (self._layout(start.shape[1]),), np.zeros(len(first), np.uint8), start, length
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Mask the instances."""
        ragged = gathered["src"]
        masked = self.masking(ragged, draw)
        return Prepared(
            {"src": replace(ragged, ids=masked.ids)},
            {"mlm": ("src", masked.place, masked.value)},
        )

    def _layout(self, documents: int) -> Layout:
        """[CLS] first document ([SEP] next document) … [SEP]."""
        pieces: list[Constant | Span] = [Constant(self.cls_id), Span(0)]
        for number in range(1, documents):
            pieces += [Constant(self.sep_id, only_if=number), Span(number)]
        return (*pieces, Constant(self.sep_id))


def _ends_across(text: Sentences, room: int) -> Ints:
    """[S] the same through all documents; where one starts inside an instance a [SEP] is added."""
    opens = np.zeros(len(text.offsets), np.int64)
    opens[text.documents[:-1]] = 1
    before = np.cumsum(opens)[:-1]  # [S] documents that start up to each sentence
    cost = text.offsets.copy()
    cost[1:] += before
    return np.searchsorted(cost, text.offsets[:-1] + before + room, side="right") - 1


def _documents_of(text: Sentences, first: Ints, end: Ints) -> tuple[Ints, np.ndarray]:
    """The stretch of every document in sentences ``first`` … ``end`` - 1.

    Returns:
        start int64 [N, K] and length int32 [N, K], K documents at most.
    """
    owner = text.owners()
    count = int((owner[end - 1] - owner[first]).max(initial=0)) + 1
    document = np.minimum(owner[first, None] + np.arange(count), len(text.documents) - 2)
    begin = np.maximum(text.documents[document], first[:, None])
    stop = np.minimum(text.documents[document + 1], end[:, None])
    start = text.offsets[np.minimum(begin, stop)]
    repeated = np.diff(document, axis=1, prepend=-1) == 0  # columns behind the last document
    return start, np.where(repeated, 0, text.offsets[stop] - start).astype(np.int32)
