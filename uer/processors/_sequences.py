"""What the processors of decoders share: marks around texts, and the shift to the next token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from uer.data.instances import Instances, Ints, Span
from uer.data.ragged import Ragged
from uer.data.spans import Sentences
from uer.errors import UserError
from uer.processors.base import TokenLabels


class Marks(NamedTuple):
    """The tokens that stand around the texts of encoder-decoder models.

    They follow the tokenizer's roles, so that one processor serves vocabularies of both kinds: with
    BERT's, a text reads [CLS] text [SEP] and the decoder starts with [CLS]; with T5's, it reads
    text </s> and the decoder starts with <pad>.

    Args:
        opening: stands before what the encoder reads; None: nothing does.
        closing: stands behind it, and ends what the decoder says.
        start: what the decoder reads first.
    """

    opening: int | None
    closing: int
    start: int

    @staticmethod
    def of(
        pad_id: int, cls_id: int | None, sep_id: int | None, bos_id: int | None, eos_id: int | None
    ) -> Marks:
        """The marks of a tokenizer; None stands for a role that it has not.

        Texts open with cls and close with eos, or else sep. Decoders start with cls, or else bos,
        or else pad.

        Raises:
            UserError: there is neither eos nor sep.
        """
        closing = sep_id if eos_id is None else eos_id
        if closing is None:
            raise UserError(
                "the tokenizer has neither the special token 'eos' nor 'sep' to end a text with; "
                "name one of its tokens with --special_tokens_path."
            )
        starts = [mark for mark in (cls_id, bos_id, pad_id) if mark is not None]
        return Marks(cls_id, closing, starts[0])

    @staticmethod
    def among(special: Mapping[str, int]) -> Marks:
        """As `of`, by the ids of roles; a role ``pad`` is needed."""
        return Marks.of(*(special.get(role) for role in ("pad", "cls", "sep", "bos", "eos")))  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """How many stand around what the encoder reads."""
        return 1 + (self.opening is not None)


class Texts(NamedTuple):
    """Some texts, one after the other.

    Args:
        ids: [T] tokens.
        lengths: [n] tokens of each text.
    """

    ids: Ints
    lengths: Ints

    def wrap(self, front: int | Ints | None = None, back: int | Ints | None = None) -> Texts:
        """The same texts with a token before or behind each: one for all, or [n]."""
        before, behind = int(front is not None), int(back is not None)
        lengths = self.lengths + before + behind
        ends = np.cumsum(lengths)
        ids = np.empty(int(ends[-1]), np.int64)
        shift = np.arange(len(lengths)) * (before + behind) + before
        ids[np.arange(len(self.ids)) + np.repeat(shift, self.lengths)] = self.ids
        if front is not None:
            ids[ends - lengths] = front
        if back is not None:
            ids[ends - 1] = back
        return Texts(ids, lengths)


def encoder_side(texts: Texts, marks: Marks, which: Ints) -> Ragged:
    """What the encoder reads of texts: with marks around them."""
    return Ragged.of(*texts.wrap(marks.opening, marks.closing), which)


def decoder_side(texts: Texts, marks: Marks, which: Ints) -> tuple[Ragged, TokenLabels]:
    """What the decoder reads of texts and should say: the texts, and that they end."""
    whole = texts.wrap(marks.start, marks.closing)
    return next_token(Ragged.of(*whole, which), "tgt")


def next_token(ragged: Ragged, side: str) -> tuple[Ragged, TokenLabels]:
    """Split sequences into what is read, all but the last token, and what is predicted from it.

    Args:
        ragged: the sequences; only tokens with ``loss`` are predicted.
        side: where they stand.
    """
    reads, is_label = np.ones((2, len(ragged.ids)), np.bool_)
    reads[ragged.offsets[1:] - 1] = False
    is_label[ragged.offsets[:-1]] = False
    wanted = ragged.loss[is_label]
    labels = ragged.ids[is_label][wanted]
    return ragged.keep(reads), (side, np.flatnonzero(wanted), labels)


def stretches(text: Sentences, first: Ints, end: Ints) -> Instances:
    """Instances of consecutive sentences; fields ``first`` and ``end`` number them.

    Args:
        text: the sentences.
        first: [N] first sentence of each instance.
        end: [N] the sentence behind each.
    """
    start = text.offsets[first]
    return Instances(
        ((Span(0),),),
        np.zeros(len(first), np.uint8),
        start[:, None],
        (text.offsets[end] - start).astype(np.int32)[:, None],
        {"first": first, "end": end},
        offsets=text.offsets,
    )
