"""From text files to a store: tokenise once, train any objective.

Workers turn blocks into arrays, the parent appends them in order. No temporary parts, no merge
step, bounded memory, and the same bytes for any number of processes.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from uer.data.corpus import BLOCK_BYTES, Block, cut_blocks, read_documents, require_format
from uer.data.store_meta import token_type
from uer.data.store_writer import StoreWriter, write_store
from uer.data.workers import in_order
from uer.errors import DataError, UserError
from uer.registry import load_plugin
from uer.tokenizers.base import Tokenizer, load, tokenizers

Words = Literal["tokenizer", "jieba"]


@dataclass
class Summary:
    """What became of a corpus; it also serves to report progress.

    Args:
        bytes: of the corpus read so far.
        total_bytes: of the whole corpus.
        documents: in the store.
        sentences: in the store.
        tokens: in the store.
        one_sentence_documents: of these documents; such a one cannot give a pair of sentences.
        unknown_tokens: how many tokens are the unknown one.
        empty_sentences: sentences that gave no token and are not in the store.
        blank_lines: lines without text.
        seconds: since the start.
    """

    total_bytes: int
    bytes: int = 0
    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    one_sentence_documents: int = 0
    unknown_tokens: int = 0
    empty_sentences: int = 0
    blank_lines: int = 0
    started: float = field(default_factory=time.perf_counter, repr=False)
    seconds: float = 0.0

    @property
    def unknown_rate(self) -> float:
        """Share of unknown tokens; 0 before the first token."""
        return self.unknown_tokens / max(1, self.tokens)


class Encoded(NamedTuple):
    """The tokens of a block.

    Args:
        tokens: uint16 or uint32 [T].
        word_starts: bool [T].
        sentence_lengths: int64 [S], none of them 0.
        document_starts: int64, ascending numbers (0 … S) of sentences before which one begins.
        columns: values by name, one per document that has a sentence.
        unknown_tokens: how many.
        empty_sentences: how many sentences gave no token.
        blank_lines: how many.
        bytes: of the block.
    """

    tokens: np.ndarray
    word_starts: np.ndarray
    sentence_lengths: np.ndarray
    document_starts: np.ndarray
    columns: dict[str, np.ndarray]
    unknown_tokens: int
    empty_sentences: int
    blank_lines: int
    bytes: int


def preprocess(
    corpus_paths: Sequence[str | Path],
    dataset_path: str | Path,
    *,
    tokenizer: Tokenizer,
    corpus_format: str,
    processes: int = 1,
    words: Words = "tokenizer",
    processor: dict[str, Any] | None = None,
    block_bytes: int = BLOCK_BYTES,
    on_progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Tokenise a corpus into a store.

    Every sentence that gives a token is in the store exactly once, in the order of the corpus; the
    others are counted. A document does not span files. The folder appears when it is whole.

    Args:
        corpus_paths: UTF-8 text files.
        dataset_path: the folder to make; an older store there is replaced at the end.
        tokenizer: makes the ids; it is saved with them.
        corpus_format: ``sentences``, ``lines`` or ``labelled``; see `uer.data.corpus`.
        processes: how many tokenise; the result does not depend on it.
        words: who decides where words start: the tokenizer, or jieba's segmentation of Chinese.
        processor: name and options of the data processor, kept in the meta data.
        block_bytes: size of a piece of work; the result does not depend on it.
        on_progress: called after each block with the figures so far.

    Returns:
        The figures of the whole corpus.

    Raises:
        UserError: the place cannot be written, a worker died, or jieba is missing.
        DataError: the corpus is missing, empty, not UTF-8 or not of its format.
    """
    require_format(corpus_format)
    if words == "jieba":
        _jieba()
    blocks = cut_blocks(corpus_paths, block_bytes)
    summary = Summary(total_bytes=sum(block.end - block.start for block in blocks))
    store = write_store(
        dataset_path, {"src": tokenizer}, corpus_format=corpus_format, processor=processor
    )
    with store as writer:
        folder = writer.saved_tokenizer("src")
        make = partial(BlockEncoder.make, folder, _plugin(tokenizer), corpus_format, words)
        for block, encoded in zip(blocks, in_order(make, blocks, processes), strict=True):
            _append(writer, block, encoded)
            _count(summary, writer, encoded)
            if on_progress:
                on_progress(summary)
        if not summary.tokens:
            names = ", ".join(map(str, corpus_paths))
            raise DataError(f"the corpus holds no text that gives a token: {names or 'no files'}.")
    # The last document ended only now.
    _measure(summary, writer)
    return summary


@dataclass(frozen=True)
class BlockEncoder:
    """Turns a block of a corpus into arrays.

    Args:
        tokenizer: makes the ids.
        corpus_format: how lines become documents.
        words: who decides where words start.
    """

    tokenizer: Tokenizer
    corpus_format: str
    words: Words

    @classmethod
    def make(
        cls, folder: Path, plugin: str | None, corpus_format: str, words: Words
    ) -> BlockEncoder:
        """An encoder with the tokenizer saved in a folder, so that what is saved is what is used.

        Args:
            folder: holds the tokenizer.
            plugin: file that defines it, where it is none of ours.
            corpus_format: see the class.
            words: see the class.
        """
        if plugin and Path(plugin).stem not in tokenizers.names():
            load_plugin(plugin)
        return cls(load(folder), corpus_format, words)

    def __call__(self, block: Block) -> Encoded:
        """Tokenise a block."""
        parsed = read_documents(block, self.corpus_format)
        made = self.tokenizer.encode_batch(parsed.texts, offsets=self.words == "jieba")
        word_starts = made.word_starts
        if made.offsets is not None:
            word_starts = word_starts & _segment(parsed.texts, made.lengths, made.offsets)
        full = made.lengths > 0
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(full)])
        starts, columns = kept[parsed.document_starts], parsed.columns
        if columns:
            # Rows lie whole in one block; a row without a token takes its values with it.
            alive = np.diff(starts, append=kept[-1]) > 0
            columns = {name: values[alive] for name, values in columns.items()}
        return Encoded(
            tokens=made.ids.astype(token_type(self.tokenizer)),
            word_starts=word_starts,
            sentence_lengths=made.lengths[full],
            document_starts=starts,
            columns=columns,
            unknown_tokens=int((made.ids == self.tokenizer.special.get("unk", -1)).sum()),
            empty_sentences=int((~full).sum()),
            blank_lines=parsed.blank_lines,
            bytes=block.end - block.start,
        )


def _append(writer: StoreWriter, block: Block, encoded: Encoded) -> None:
    starts = encoded.document_starts
    writer.sides["src"].append(
        tokens=encoded.tokens,
        word_starts=encoded.word_starts,
        sentence_lengths=encoded.sentence_lengths,
        # A document does not span files.
        document_starts=np.append(0, starts) if block.start == 0 else starts,
    )
    for name, values in encoded.columns.items():
        writer.append_column(name, values)


def _count(summary: Summary, writer: StoreWriter, encoded: Encoded) -> None:
    _measure(summary, writer)
    summary.unknown_tokens += encoded.unknown_tokens
    summary.empty_sentences += encoded.empty_sentences
    summary.blank_lines += encoded.blank_lines
    summary.bytes += encoded.bytes


def _measure(summary: Summary, writer: StoreWriter) -> None:
    side = writer.sides["src"]
    summary.documents, summary.sentences = side.documents, side.sentences
    summary.tokens = side.tokens
    summary.one_sentence_documents = side.one_sentence_documents
    summary.seconds = time.perf_counter() - summary.started


def _segment(texts: list[str], lengths: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """bool [T] whether a token stands where jieba begins a word.

    Args:
        texts: the sentences.
        lengths: int64 [S] tokens of each.
        offsets: int64 [T] code point of its sentence where a token begins.
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    cut = _jieba().cut
    words = np.fromiter((len(word) for text in texts for word in cut(text)), np.int64)
    begins = np.zeros(int(sizes.sum()), bool)
    begins[np.cumsum(words) - words] = True
    return begins[offsets + np.repeat(np.cumsum(sizes) - sizes, lengths)]


def _jieba() -> Any:
    try:
        return importlib.import_module("jieba")
    except ImportError as error:
        raise UserError(
            "words: jieba, but jieba is not installed; run `pip install uer[zh]`."
        ) from error


def _plugin(tokenizer: Tokenizer) -> str | None:
    """The file of a tokenizer that came by --plugin; a spawned worker must load it as well."""
    module = type(tokenizer).__module__
    return sys.modules[module].__file__ if module.startswith("uer_plugin_") else None
