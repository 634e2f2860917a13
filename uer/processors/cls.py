"""Classification of single texts and of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import trim_pair
from uer.errors import DataError
from uer.glossary import SeqLength
from uer.processors.base import Prepared, Processor
from uer.signature import Given


class Cls(Processor):
    """Labelled texts and pairs: [CLS] text [SEP], or [CLS] text [SEP] second text [SEP].

    An instance is a row of the corpus. What does not fit is cut off at the end, from the longer
    text first. Rows of a store without the column ``label`` (inference) have no labels; a column
    of several numbers per row holds soft labels.
    """

    corpus: ClassVar[str] = "labelled"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "src.segment", "labels.cls"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        self.seq_length, self.pad_id = seq_length, pad_id
        text = (Constant(cls_id), Span(0), Constant(sep_id))
        self.layouts = (text, (*text, Span(1, segment=1), Constant(sep_id, segment=1)))
        self.require_seq_length(5)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document; nothing is random here."""
        side = store.sides["src"]
        documents = np.asarray(side.documents, np.int64)
        texts = np.diff(documents)
        if len(wrong := np.flatnonzero(texts > 2)):
            raise DataError(
                f"row {wrong[0] + 1} of the data holds {texts[wrong[0]]} texts, but the processor "
                "'cls' reads one or two; preprocess a corpus of labelled lines."
            )
        bounds = np.asarray(side.sentences, np.int64)
        begin = documents[:-1, None] + np.minimum(np.arange(3), texts[:, None])
        start, lengths = bounds[begin[:, :2]], np.diff(bounds[begin], axis=1)
        pair = texts == 2
        room = self.seq_length - 2 - pair
        trim = trim_pair(lengths[:, 0], lengths[:, 1], room)
        columns = {"label": store.columns["label"]} if "label" in store.columns else {}
        return Instances(
            self.layouts,
            pair.astype(np.uint8),
            start,
            (lengths - np.stack(trim, axis=1)).astype(np.int32),
            columns,
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Look the labels up."""
        ragged = gathered["src"]
        label = instances.fields.get("label")
        return Prepared(
            {"src": ragged}, row_labels={} if label is None else {"cls": label[ragged.which]}
        )
