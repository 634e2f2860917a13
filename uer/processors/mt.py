"""Translation, or any other text-to-text task: the target given the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenSide, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.glossary import SeqLength, TgtSeqLength
from uer.processors._sequences import Marks, next_token
from uer.processors.base import Prepared, Processor
from uer.signature import Given


class Mt(Processor):
    """Pairs of texts: the encoder reads the first, the decoder says the second.

    The target side may have a tokenizer of its own (``--tgt_tokenizer``, ``--tgt_vocab_path``).
    Texts are cut at their ends; a target that was cut does not teach its end. Texts are marked as
    by `t5`, each side by the roles of its tokenizer.
    """

    corpus: ClassVar[str] = "pairs"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "tgt.ids", "labels.lm"})
    two_tokenizers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
        tgt_pad_id: Given[int | None] = None,
        tgt_cls_id: Given[int | None] = None,
        tgt_sep_id: Given[int | None] = None,
        tgt_bos_id: Given[int | None] = None,
        tgt_eos_id: Given[int | None] = None,
    ) -> None:
        self.seq_length, self.tgt_seq_length = seq_length, tgt_seq_length
        self.pad_id, self.tgt_pad_id = pad_id, tgt_pad_id
        marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        says = marks
        if tgt_pad_id is not None:
            says = Marks.of(tgt_pad_id, tgt_cls_id, tgt_sep_id, tgt_bos_id, tgt_eos_id)
        opening = () if marks.opening is None else (Constant(marks.opening),)
        self.layout = (*opening, Span(0), Constant(marks.closing))
        cut = (Constant(says.start), Span(0))
        self.tgt_layouts = (cut, (*cut, Constant(says.closing, loss=True)))
        self.room = seq_length - marks.size
        self.require_seq_length(marks.size + 1, 1)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per pair; nothing is random here."""
        assert self.tgt_seq_length is not None
        side = "tgt" if "tgt" in store.sides else "src"
        start, length = pair_texts(store, self.name)
        whole = length[:, 1] < self.tgt_seq_length
        targets = Instances(
            self.tgt_layouts,
            whole.astype(np.uint8),
            start[:, 1:],
            np.minimum(length[:, 1:], self.tgt_seq_length).astype(np.int32),
            side=side,
        )
        return Instances(
            (self.layout,),
            np.zeros(len(start), np.uint8),
            start[:, :1],
            np.minimum(length[:, :1], self.room).astype(np.int32),
            beside={"tgt": targets},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Split the targets into input and labels."""
        read, labels = next_token(gathered["tgt"], "tgt")
        return Prepared({"src": gathered["src"], "tgt": read}, {"lm": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`; the last token of a target is a label only."""
        lengths = super().lengths(instances)
        return {**lengths, "tgt": lengths["tgt"] - 1}


def pair_texts(store: TokenStore, processor: str) -> tuple[Ints, Ints]:
    """Where the two texts of every document start, each in its side of the store.

    Args:
        store: two texts per document in one side, or one text in each of two sides.
        processor: who asks, for messages.

    Returns:
        [N, 2] first tokens, and [N, 2] lengths.

    Raises:
        DataError: a document has not two texts.
    """
    if "tgt" in store.sides:
        sides = [_texts(store.sides[name], 1, processor) for name in ("src", "tgt")]
        start, length = zip(*sides, strict=True)
        return np.concatenate(start, axis=1), np.concatenate(length, axis=1)
    return _texts(store.sides["src"], 2, processor)


def _texts(side: TokenSide, count: int, processor: str) -> tuple[Ints, Ints]:
    """[N, count] first tokens and lengths of the sentences of every document."""
    found = np.diff(np.asarray(side.documents, np.int64))
    if len(wrong := np.flatnonzero(found != count)):
        raise DataError(
            f"row {wrong[0] + 1} of the data has {found[wrong[0]]} texts where the processor "
            f"'{processor}' needs {count}; preprocess a corpus for it."
        )
    bounds = np.asarray(side.sentences, np.int64)
    return bounds[:-1].reshape(-1, count), np.diff(bounds).reshape(-1, count)
