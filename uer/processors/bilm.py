"""Language modelling in both directions (ELMo, https://arxiv.org/abs/1802.05365)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import SeqLength
from uer.processors.base import Prepared, Processor
from uer.signature import Given


class BiLm(Processor):
    """Documents cut into rows; each token predicts the one behind it and the one before it.

    A document reads [CLS] tokens [SEP], and a row ``seq_length`` of these. The neighbours beyond a
    row's ends are its labels, too; so in each direction every token is predicted exactly once. The
    labels ``bilm`` are the tokens behind, ``bilm.backward`` the tokens before.
    """

    corpus: ClassVar[str] = "lines"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "labels.bilm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        self.seq_length, self.pad_id = seq_length, pad_id
        opening, closing = Constant(cls_id), Constant(sep_id)
        # Number of a layout: 1 if the row or its neighbours reach [CLS], + 2 if they reach [SEP].
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
        marked = np.diff(bounds) + 2
        rows = -(-marked // self.seq_length)
        document = np.repeat(np.arange(len(marked)), rows)
        begin = np.arange(len(document)) - np.repeat(np.cumsum(rows) - rows, rows)
        begin *= self.seq_length
        end = np.minimum(begin + self.seq_length, marked[document])
        before, behind = begin > 0, end < marked[document]
        begin, end = begin - before, end + behind
        opens, closes = begin == 0, end == marked[document]
        length = end - begin - opens - closes
        return Instances(
            self.layouts,
            (opens + 2 * closes).astype(np.uint8),
            (bounds[document] + np.maximum(begin - 1, 0))[:, None],
            length.astype(np.int32)[:, None],
            {"before": before, "behind": behind},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Take the neighbours off each row and label its tokens with theirs."""
        ragged = gathered["src"]
        reads, has_next, has_last = np.ones((3, len(ragged.ids)), np.bool_)
        firsts, lasts = ragged.offsets[:-1], ragged.offsets[1:] - 1
        has_last[firsts] = has_next[lasts] = False
        reads[firsts[instances.fields["before"][ragged.which]]] = False
        reads[lasts[instances.fields["behind"][ragged.which]]] = False
        place = np.cumsum(reads) - 1
        forward = np.flatnonzero(reads & has_next)
        backward = np.flatnonzero(reads & has_last)
        return Prepared(
            {"src": ragged.keep(reads)},
            {
                "bilm": ("src", place[forward], ragged.ids[forward + 1]),
                "bilm.backward": ("src", place[backward], ragged.ids[backward - 1]),
            },
        )

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`; the neighbours of a row are labels only."""
        neighbours = instances.fields["before"].astype(np.int64) + instances.fields["behind"]
        return {"src": instances.lengths() - neighbours}

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """As for every processor; neighbouring rows share tokens, and none is left out."""
        tokens = len(store.sides["src"].tokens)
        return {"instances": len(instances), "tokens": tokens, "tokens_truncated": 0}
