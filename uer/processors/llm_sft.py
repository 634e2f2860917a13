"""Supervised fine-tuning of language models on instructions and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import SeqLength
from uer.processors._sequences import next_token
from uer.processors.base import Prepared, Processor
from uer.processors.mt import pair_texts
from uer.signature import Given


class LlmSft(Processor):
    """[CLS] instruction input output [SEP]; predicted are the output and its end.

    An output that is too long loses its end, which it then does not teach; a row whose instruction
    leaves no room for an output is left out. Both are counted.
    """

    corpus: ClassVar[str] = "instructions"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "labels.lm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        self.seq_length, self.pad_id = seq_length, pad_id
        cut = (Constant(cls_id), Span(0, loss=False), Span(1))
        self.layouts = (cut, (*cut, Constant(sep_id, loss=True)))
        self.require_seq_length(2)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per row that has room; nothing is random here."""
        start, lengths = pair_texts(store, self.name)
        fits = lengths[:, 0] < self.seq_length
        start, lengths = start[fits], lengths[fits]
        whole = lengths.sum(axis=1) < self.seq_length  # with [CLS]; [SEP] is a label only
        room = np.where(whole, self.seq_length, self.seq_length - lengths[:, 0])
        lengths[:, 1] = np.minimum(lengths[:, 1], room)
        return Instances(self.layouts, whole.astype(np.uint8), start, lengths.astype(np.int32))

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Split each row into input and labels."""
        read, labels = next_token(gathered["src"], "src")
        return Prepared({"src": read}, {"lm": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """Tokens of the input: the last one of a row is a label only."""
        return {"src": instances.lengths() - 1}

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """As for every processor, with ``rows_left_out``."""
        left_out = len(store) - len(instances)
        return {**super().report(instances, store), "rows_left_out": left_out}
