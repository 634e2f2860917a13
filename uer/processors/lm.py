"""Causal language modelling: every token predicts the next one (GPT)."""

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
from uer.signature import Given


class Lm(Processor):
    """Documents cut into rows; each token's label is the one behind it.

    A document reads [CLS] tokens [SEP]. A row's input is ``seq_length`` of these in a row, its
    labels are the same stretch one further on; so every token, the last [SEP] included, is
    predicted exactly once, and nothing is predicted across documents or at padding.
    """

    corpus: ClassVar[str] = "lines"
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
        opening, closing = Constant(cls_id), Constant(sep_id, loss=True)
        # Number of a layout: 1 if the row opens its document, + 2 if it closes it.
        self.layouts = (
            (Span(0),),
            (opening, Span(0)),
            (Span(0), closing),
            (opening, Span(0), closing),
        )
        self.require_seq_length(1)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Cut the documents; nothing is random here."""
        side = store.sides["src"]
        bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
        tokens = np.diff(bounds)
        rows = -(-(tokens + 1) // self.seq_length)  # [CLS] and the tokens are inputs
        document = np.repeat(np.arange(len(tokens)), rows)
        number = np.arange(len(document)) - np.repeat(np.cumsum(rows) - rows, rows)
        # Row k reads k * L … (k + 1) * L of the document; that is token k * L - 1 onwards.
        begin = number * self.seq_length - 1
        stop = np.minimum(begin + self.seq_length + 1, tokens[document] + 1)
        opens, closes = number == 0, number == rows[document] - 1
        start = np.maximum(begin, 0)
        length = np.minimum(stop, tokens[document]) - start
        return Instances(
            self.layouts,
            (opens + 2 * closes).astype(np.uint8),
            (bounds[document] + start)[:, None],
            length.astype(np.int32)[:, None],
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Split each row into input and labels."""
        read, labels = next_token(gathered["src"], "src")
        return Prepared({"src": read}, {"lm": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """Tokens of the input: the last one of a row is a label only."""
        return {"src": instances.lengths() - 1}

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """As for every processor; a token that ends one row and begins the next counts once."""
        tokens = len(store.sides["src"].tokens)
        return {"instances": len(instances), "tokens": tokens, "tokens_truncated": 0}
