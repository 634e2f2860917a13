"""From the text of a block to arrays of ids: what a preprocessing worker does."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from uer.data.corpus import Block, read_documents
from uer.data.formats import FORMATS, Column, Parsed
from uer.data.media.references import Reference
from uer.data.store_meta import token_type
from uer.errors import UserError
from uer.registry import load_plugin
from uer.tokenizers.base import Encoded as Tokens
from uer.tokenizers.base import Tokenizer, load, tokenizers

Words = Literal["tokenizer", "jieba"]


class EncodedSide(NamedTuple):
    """The tokens of one side of a block.

    Args:
        tokens: uint16 or uint32 [T].
        word_starts: bool [T].
        sentence_lengths: int64 [S], none of them 0.
        document_starts: int64, ascending numbers (0 … S) of sentences before which one begins.
        unknown_tokens: how many.
    """

    tokens: np.ndarray
    word_starts: np.ndarray
    sentence_lengths: np.ndarray
    document_starts: np.ndarray
    unknown_tokens: int


class Encoded(NamedTuple):
    """The tokens of a block.

    Args:
        sides: by name.
        columns: values by name, one per document that has a sentence.
        empty_sentences: how many sentences gave no token.
        halved_pairs: how many pairs have such a sentence.
        blank_lines: how many.
        bytes: of the block.
        media: images or sounds by name, one per document.
    """

    sides: dict[str, EncodedSide]
    columns: Mapping[str, Column]
    empty_sentences: int
    halved_pairs: int
    blank_lines: int
    bytes: int
    media: dict[str, list[Reference]]


class Saved(NamedTuple):
    """A tokenizer as a worker finds it.

    Args:
        folder: holds it.
        plugin: file that defines it, where it is none of ours.
    """

    folder: Path
    plugin: str | None

    def load(self) -> Tokenizer:
        """The tokenizer, so that what is saved is what is used."""
        if self.plugin and Path(self.plugin).stem not in tokenizers.names():
            load_plugin(self.plugin)
        return load(self.folder)


@dataclass(frozen=True)
class BlockEncoder:
    """Turns a block of a corpus into arrays.

    Args:
        tokenizers: make the ids of each side, ``src`` and perhaps ``tgt``.
        corpus_format: how lines become documents.
        words: who decides where words start.
    """

    tokenizers: dict[str, Tokenizer]
    corpus_format: str
    words: Words

    @classmethod
    def make(cls, saved: dict[str, Saved], corpus_format: str, words: Words) -> BlockEncoder:
        """An encoder with saved tokenizers; arguments as for the class."""
        return cls({name: one.load() for name, one in saved.items()}, corpus_format, words)

    def __call__(self, work: Block | Parsed) -> Encoded:
        """Tokenise a block of a corpus, or documents with media."""
        if isinstance(work, Parsed):
            return self._encoded(work, 0)
        return self._encoded(read_documents(work, self.corpus_format), work.end - work.start)

    def _encoded(self, parsed: Parsed, size: int) -> Encoded:
        sides = len(self.tokenizers)
        if not sides:
            return Encoded({}, parsed.columns, 0, 0, parsed.blank_lines, size, parsed.media)
        texts = {name: parsed.texts[at::sides] for at, name in enumerate(self.tokenizers)}
        made = {name: self._encode(name, some) for name, some in texts.items()}
        full = np.stack([one.lengths > 0 for one in made.values()], axis=1).ravel()
        kept, halved = full, 0
        if FORMATS[self.corpus_format].paired:
            pairs = full.reshape(-1, 2)
            whole = pairs.all(axis=1)
            kept, halved = np.repeat(whole, 2), int((~whole).sum())
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        starts, columns, media = before[parsed.document_starts], parsed.columns, parsed.media
        if columns or media:
            # Rows lie whole in one block; a row without a token takes its values with it.
            alive = np.diff(starts, append=before[-1]) > 0
            columns = {
                name: list(compress(values, alive)) if isinstance(values, list) else values[alive]
                for name, values in columns.items()
            }
            media = {name: list(compress(some, alive)) for name, some in media.items()}
        return Encoded(
            sides={
                name: self._side(name, one, kept[at::sides], starts // sides)
                for at, (name, one) in enumerate(made.items())
            },
            columns=columns,
            empty_sentences=int((~full).sum()),
            halved_pairs=halved,
            blank_lines=parsed.blank_lines,
            bytes=size,
            media=media,
        )

    def _encode(self, side: str, texts: list[str]) -> Tokens:
        jieba = self.words == "jieba"
        made = self.tokenizers[side].encode_batch(texts, offsets=jieba)
        if made.offsets is None:
            return made
        cut = _segment(texts, made.lengths, made.offsets)
        return made._replace(word_starts=made.word_starts & cut)

    def _side(
        self, name: str, made: Tokens, kept: np.ndarray, document_starts: np.ndarray
    ) -> EncodedSide:
        """The sentences of a side that are kept, bool [S]."""
        tokenizer = self.tokenizers[name]
        ids, word_starts = made.ids, made.word_starts
        if not kept.all():
            tokens = np.repeat(kept, made.lengths)
            ids, word_starts = ids[tokens], word_starts[tokens]
        return EncodedSide(
            tokens=ids.astype(token_type(tokenizer)),
            word_starts=word_starts,
            sentence_lengths=made.lengths[kept],
            document_starts=document_starts,
            unknown_tokens=int((ids == tokenizer.special.get("unk", -1)).sum()),
        )


def _segment(texts: list[str], lengths: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """bool [T] whether a token stands where jieba begins a word.

    Args:
        texts: the sentences.
        lengths: int64 [S] tokens of each.
        offsets: int64 [T] code point of its sentence where a token begins.
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    cut = require_jieba().cut
    words = np.fromiter((len(word) for text in texts for word in cut(text)), np.int64)
    begins = np.zeros(int(sizes.sum()), bool)
    begins[np.cumsum(words) - words] = True
    return begins[offsets + np.repeat(np.cumsum(sizes) - sizes, lengths)]


def require_jieba() -> Any:
    """The library jieba.

    Raises:
        UserError: it is not installed.
    """
    try:
        jieba = importlib.import_module("jieba")
    except ImportError as error:
        raise UserError(
            "words: jieba, but jieba is not installed; run `pip install uer[zh]`."
        ) from error
    # It reports on its dictionary through a handler of its own, so everything came twice.
    logging.getLogger("jieba").setLevel(logging.WARNING)
    return jieba
