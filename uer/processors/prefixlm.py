"""Prefix language modelling: the second text given the first (UniLM, arXiv:1905.03197)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import trim_pair
from uer.errors import DataError
from uer.glossary import SeqLength
from uer.processors._sequences import next_token
from uer.processors.base import Prepared, Processor
from uer.processors.mt import pair_texts
from uer.signature import Given


class PrefixLm(Processor):
    """Pairs of texts in one row: [CLS] text [SEP] target text [SEP], segments 0 and 1.

    The tokens up to the first [SEP] see each other, those of the target what stands before them.
    Predicted are the target's tokens and its end. Of pairs that are too long the longer text loses
    its end; a target that was cut does not teach its end.
    """

    corpus: ClassVar[str] = "pairs"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.segment", "src.prefix", "labels.lm"}
    )

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        self.seq_length, self.pad_id = seq_length, pad_id
        cut = (
            Constant(cls_id, prefix=True),
            Span(0, loss=False, prefix=True),
            Constant(sep_id, prefix=True),
            Span(1, segment=1),
        )
        self.layouts = (cut, (*cut, Constant(sep_id, segment=1, loss=True)))
        self.require_seq_length(4)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per pair; nothing is random here.

        Raises:
            DataError: the data have two sides, or a row has not two texts.
        """
        if "tgt" in store.sides:
            raise DataError(
                f"the data have a target side with its own tokenizer, but the processor "
                f"'{self.name}' reads both texts in one row; preprocess without --tgt_… flags."
            )
        start, lengths = pair_texts(store, self.name)
        trim = np.stack(trim_pair(lengths[:, 0], lengths[:, 1], self.seq_length - 2), axis=1)
        return Instances(
            self.layouts,
            (trim[:, 1] == 0).astype(np.uint8),
            start,
            (lengths - trim).astype(np.int32),
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Split each row into input and labels."""
        read, labels = next_token(gathered["src"], "src")
        return Prepared({"src": read}, {"lm": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """Tokens of the input: the last one of a row is a label only."""
        return {"src": instances.lengths() - 1}
