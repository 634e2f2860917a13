"""A text and the codes of an image in one sequence (DALL-E, https://arxiv.org/abs/2102.12092)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError, DataError
from uer.glossary import CodesNum, SeqLength
from uer.processors._sequences import next_token
from uer.processors.base import Prepared, Processor
from uer.signature import Given

COLUMN = "codes"


class Dalle(Processor):
    """[CLS] text [SEP] codes, or the other way round: [CLS] codes [SEP] text [SEP].

    An image tokenizer has written the codes of each image to the store (``uer codes``); here their
    numbers begin behind those of the text's tokens, so that one table of ``codes_num`` more rows
    holds both. Codes are of segment 1, all else is of segment 0.

    What comes first is a prefix, of which nothing is predicted; a model with ``mask: causal`` may
    learn to write the text in front of an image, too (``predict_text``). A text that is too long
    loses its end, and a text that lost its end does not teach it. Documents without codes, whose
    image could not be read, are left out.
    """

    corpus: ClassVar[str] = "captioned_images"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.segment", "src.prefix", "labels.lm"}
    )
    adds_codes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        seq_length: SeqLength = 512,
        codes_num: CodesNum,
        to_text_rate: Annotated[
            float, "share of the instances in which the text follows its image"
        ] = 0.0,
        predict_text: Annotated[
            bool, "texts in front of images are predicted; they are no prefix"
        ] = False,
        vocab_size: Given[int],
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        if not 0 <= to_text_rate <= 1:
            raise ConfigError([f"to_text_rate: {to_text_rate} is no share between 0 and 1."])
        self.seq_length, self.pad_id = seq_length, pad_id
        self.codes_num, self.offset = codes_num, vocab_size - codes_num
        self.to_text_rate, self.predict_text = to_text_rate, predict_text
        first = not predict_text  # the text in front is a prefix
        # The codes are inserted when a batch is made. The last
        # layout is of texts that were cut.
        to_image = (
            Constant(cls_id, prefix=first),
            Span(0, loss=predict_text, prefix=first),
            Constant(sep_id, prefix=first, loss=predict_text),
        )
        to_text = (Constant(cls_id, prefix=True), Constant(sep_id, prefix=True), Span(0))
        self.layouts = (to_image, (*to_text, Constant(sep_id, loss=True)), to_text)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document; the order of its halves is random.

        Raises:
            DataError: there are no codes, or they are of another image tokenizer.
            ConfigError: there is no room for a text.
        """
        codes = self._codes(store)
        self.require_seq_length(codes.shape[1] + 3)
        which = np.flatnonzero((codes >= 0).all(axis=1))
        side = store.sides["src"]
        bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
        start, length = bounds[:-1][which], np.diff(bounds)[which]
        to_text = draw.uniform("direction", which) < self.to_text_rate
        # [CLS], the codes and [SEP]; of the last token of a row there is only the label.
        room = self.seq_length - codes.shape[1] - 2 + np.where(to_text, 0, 1)
        cut = length > room
        return Instances(
            self.layouts,
            (to_text * (1 + cut)).astype(np.uint8),
            start[:, None],
            np.minimum(length, room).astype(np.int32)[:, None],
            {"codes": codes[which]},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Insert the codes, and split each row into input and labels."""
        text = gathered["src"]
        to_text = instances.layout[text.which] > 0
        whole = insert(
            text, instances.fields["codes"][text.which] + self.offset, np.where(to_text, 1, -1)
        )
        whole = _flagged(whole, to_text, self.offset)
        read, labels = next_token(whole, "src")
        return Prepared({"src": read}, {"lm": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """Tokens of the input: the last one of a row is a label only."""
        return {"src": instances.lengths() + instances.fields["codes"].shape[1] - 1}

    def _codes(self, store: TokenStore) -> Ints:
        """[D, P] of the store."""
        if COLUMN not in store.columns:
            raise DataError(
                f"the processor '{self.name}' reads the codes of images, and the data have none; "
                "let an image tokenizer write them: uer codes --load_model_path … --dataset_path …"
            )
        codes = np.asarray(store.columns[COLUMN], np.int64)
        if len(codes) and int(codes.max()) >= self.codes_num:
            raise DataError(
                f"the codes of the data go up to {codes.max()}, but codes_num says that there are "
                f"{self.codes_num}; give the size of the image tokenizer's codebook."
            )
        return codes


def insert(ragged: Ragged, codes: Ints, behind: Ints) -> Ragged:
    """Put P further tokens into each instance.

    Args:
        ragged: n instances.
        codes: [n, P] the tokens.
        behind: [n] how many tokens stand before them; -1: all.
    """
    size, lengths = codes.shape[1], ragged.lengths()
    place = np.where(behind < 0, lengths, behind)
    at = np.repeat(ragged.offsets[:-1] + place, size)

    def with_codes(values: np.ndarray | None, of_codes: np.ndarray | bool | int) -> np.ndarray:
        assert values is not None, "the layouts have a prefix, so there is this array"
        return np.insert(values, at, of_codes)

    return replace(
        ragged,
        ids=with_codes(ragged.ids, codes.ravel()),
        offsets=np.concatenate([[0], np.cumsum(lengths + size)]),
        segment=with_codes(np.zeros(len(ragged.ids), np.uint8), 1),
        loss=with_codes(ragged.loss, False),
        special=with_codes(ragged.special, False),
        word_start=with_codes(ragged.word_start, True),
        prefix=None if ragged.prefix is None else with_codes(ragged.prefix, False),
    )


def _flagged(ragged: Ragged, to_text: np.ndarray, offset: int) -> Ragged:
    """Say of the codes whether they are predicted or a prefix."""
    codes, front = ragged.ids >= offset, np.repeat(to_text, ragged.lengths())
    prefix = np.zeros(len(codes), np.bool_) if ragged.prefix is None else ragged.prefix
    return replace(
        ragged,
        loss=np.where(codes, ~front, ragged.loss),
        prefix=prefix | (codes & front),
    )
