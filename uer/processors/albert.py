"""Masked language modelling and sentence order (ALBERT, https://arxiv.org/abs/1909.11942)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import cut_sentences
from uer.errors import ConfigError
from uer.glossary import SeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared, Processor
from uer.processors.bert import ShortSeqProb, sequential_chunks, trimmed_pairs
from uer.signature import Given, default


class Albert(Processor):
    """Masked pairs of neighbouring texts, half of them swapped: [CLS] A [SEP] B [SEP].

    Label ``sp`` is 1 where the texts are swapped. Pairs are cut from documents as for `bert`; a
    sentence that would stand alone is divided at a random place, so that no pair has an empty half.
    What a pair is too long by, and single tokens that are left alone, are counted. The paper masks
    n-grams: ``masking: ngram``.
    """

    corpus: ClassVar[str] = "sentences"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.segment", "labels.mlm", "labels.sp"}
    )

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        short_seq_prob: ShortSeqProb = 0.1,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        if not 0 <= short_seq_prob <= 1:
            raise ConfigError([f"short_seq_prob: {short_seq_prob} is not in [0, 1]."])
        self.seq_length, self.pad_id = seq_length, pad_id
        self.short_seq_prob, self.masking = short_seq_prob, masking
        self.layout = (
            Constant(cls_id),
            Span(0),
            Constant(sep_id),
            Span(1, segment=1),
            Constant(sep_id, segment=1),
        )
        self.require_seq_length(5)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Pair neighbours and swap some."""
        room = self.seq_length - 3
        text = cut_sentences(store.sides["src"], longest=room, size=room // 2)
        chunks = sequential_chunks(text, room, self.short_seq_prob, draw, random_next=False)
        bounds = text.offsets[np.stack([chunks.first, chunks.middle, chunks.end], axis=1)]
        bounds = bounds[bounds[:, 2] - bounds[:, 0] > 1]
        pair = np.arange(len(bounds))
        alone = np.flatnonzero(bounds[:, 1] == bounds[:, 2])
        tokens = bounds[alone, 2] - bounds[alone, 0]
        bounds[alone, 1] = bounds[alone, 0] + 1 + draw.integers("divide", alone, tokens - 1)
        cut, length = trimmed_pairs(np.diff(bounds, axis=1), room, draw)
        start = bounds[:, :2] + cut
        swapped = draw.bits("swap", pair) >> np.uint64(63) == 1
        start[swapped], length[swapped] = start[swapped, ::-1], length[swapped, ::-1]
        return Instances(
            (self.layout,),
            np.zeros(len(start), np.uint8),
            start,
            length.astype(np.int32),
            {"swapped": swapped},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Mask the pairs."""
        ragged = gathered["src"]
        masked = self.masking(ragged, draw)
        return Prepared(
            {"src": replace(ragged, ids=masked.ids)},
            {"mlm": ("src", masked.place, masked.value)},
            {"sp": instances.fields["swapped"][ragged.which].astype(np.int64)},
        )
