"""From text files to a store: tokenise once, train any objective.

Workers turn blocks into arrays, the parent appends them in order. No temporary parts, no merge
step, bounded memory, and the same bytes for any number of processes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from uer.data.block_encoder import BlockEncoder, Encoded, Saved, Words, require_jieba
from uer.data.corpus import BLOCK_BYTES, cut_blocks
from uer.data.formats import FORMATS, require_format
from uer.data.media.collect import Collection
from uer.data.media.report import MediaReport
from uer.data.store_writer import StoreWriter, write_store
from uer.data.workers import in_order
from uer.errors import ConfigError, DataError
from uer.tokenizers.base import Tokenizer

LEFT_OUT = "left_out.tsv"  # in a store: media that are not there


@dataclass
class Summary:
    """What became of a corpus; it also serves to report progress.

    Args:
        bytes: of the corpus read so far.
        total_bytes: of the whole corpus.
        documents: in the store.
        sentences: in the store, over all sides.
        tokens: in the store, over all sides.
        one_sentence_documents: of these documents; such a one cannot give a pair of sentences.
        unknown_tokens: how many tokens are the unknown one.
        empty_sentences: sentences that gave no token and are not in the store.
        halved_pairs: pairs that are not in the store because one of their texts gave no token.
        blank_lines: lines without text.
        left_out: rows whose image or sound is not there.
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
    halved_pairs: int = 0
    blank_lines: int = 0
    left_out: int = 0
    started: float = field(default_factory=time.perf_counter, repr=False)
    seconds: float = 0.0

    @property
    def unknown_rate(self) -> float:
        """Share of unknown tokens; 0 before the first token."""
        return self.unknown_tokens / max(1, self.tokens)


def preprocess(
    corpus_paths: Sequence[str | Path],
    dataset_path: str | Path,
    *,
    tokenizer: Tokenizer,
    tgt_tokenizer: Tokenizer | None = None,
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
        tgt_tokenizer: makes those of the second text of every pair, which becomes the side ``tgt``;
            None: all texts stand in one side.
        corpus_format: see `uer.data.formats`.
        processes: how many tokenise; the result does not depend on it.
        words: who decides where words start: the tokenizer, or jieba's segmentation of Chinese.
        processor: name and options of the data processor, kept in the meta data.
        block_bytes: size of a piece of work; the result does not depend on it.
        on_progress: called after each block with the figures so far.

    Returns:
        The figures of the whole corpus.

    Raises:
        UserError: the place cannot be written, a worker died, or jieba is missing.
        ConfigError: there is no such format, or it has no second text for ``tgt_tokenizer``.
        DataError: the corpus is missing, empty, not UTF-8 or not of its format.
    """
    require_format(corpus_format)
    by_side = {"src": tokenizer}
    if tgt_tokenizer is not None:
        _require_paired(corpus_format)
        by_side["tgt"] = tgt_tokenizer
    if words == "jieba":
        require_jieba()
    blocks = cut_blocks(corpus_paths, block_bytes)
    summary = Summary(total_bytes=sum(block.end - block.start for block in blocks))
    store = write_store(dataset_path, by_side, corpus_format=corpus_format, processor=processor)
    with store as writer:
        saved = {
            name: Saved(writer.saved_tokenizer(name), _plugin(made))
            for name, made in by_side.items()
        }
        make = partial(BlockEncoder.make, saved, corpus_format, words)
        for block, encoded in zip(blocks, in_order(make, blocks, processes), strict=True):
            _append_sides(writer, encoded, first=block.start == 0)
            _count(summary, writer, encoded)
            if on_progress:
                on_progress(summary)
        if not summary.tokens:
            names = ", ".join(map(str, corpus_paths))
            raise DataError(f"the corpus holds no text that gives a token: {names or 'no files'}.")
    # The last document ended only now.
    _measure(summary, writer)
    return summary


def preprocess_media(
    corpus_paths: Sequence[str | Path],
    dataset_path: str | Path,
    *,
    tokenizer: Tokenizer | None,
    corpus_format: str,
    media_root: str | Path | None = None,
    processes: int = 1,
    processor: dict[str, Any] | None = None,
    on_progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Put a corpus of images or sounds into a store: where they lie, and their texts and labels.

    No image is decoded or copied. Rows whose medium is not there are left out, and named in the
    file ``left_out.tsv`` of the store.

    Args:
        corpus_paths: manifests, folders or tar files; see `uer.data.media`.
        dataset_path: as for `preprocess`.
        tokenizer: makes the ids of the texts; None where the format has none.
        corpus_format: a format with media.
        media_root: folder that the paths in manifests are relative to; by default the manifest's.
        processes: as for `preprocess`.
        processor: as for `preprocess`.
        on_progress: as for `preprocess`.

    Raises:
        UserError: as for `preprocess`.
        DataError: the corpus is missing, empty, not of its format, or names files outside of the
            folder of its manifest.
    """
    require_format(corpus_format)
    summary = Summary(total_bytes=0)
    by_side = {} if tokenizer is None else {"src": tokenizer}
    store = write_store(dataset_path, by_side, corpus_format=corpus_format, processor=processor)
    with store as writer:
        report = MediaReport(writer.folder / LEFT_OUT)
        rows = Collection.of(corpus_paths, corpus_format, report, media_root)
        writer.classes += rows.classes
        saved = {
            name: Saved(writer.saved_tokenizer(name), _plugin(made))
            for name, made in by_side.items()
        }
        make = partial(BlockEncoder.make, saved, corpus_format, "tokenizer")
        for encoded in in_order(make, rows.pieces(), processes if by_side else 1):
            # Every row is a document of its own.
            _append_sides(writer, encoded, first=True)
            for name, references in encoded.media.items():
                writer.append_media(name, rows.root, references)
                summary.documents += len(references)
            _count(summary, writer, encoded)
            if on_progress:
                on_progress(summary)
        if not summary.documents:
            found = report.line() or "there is no row in it."
            names = ", ".join(map(str, corpus_paths))
            raise DataError(f"the corpus {names} gives no row that could be used: {found}")
        summary.left_out = report.counts.total()
    _measure(summary, writer)
    return summary


def _append_sides(writer: StoreWriter, encoded: Encoded, *, first: bool) -> None:
    for name, side in encoded.sides.items():
        starts = side.document_starts
        writer.sides[name].append(
            tokens=side.tokens,
            word_starts=side.word_starts,
            sentence_lengths=side.sentence_lengths,
            # A document does not span files.
            document_starts=np.append(0, starts) if first else starts,
        )
    for name, values in encoded.columns.items():
        if isinstance(values, list):
            sizes = np.array([len(some) for some in values], np.int64)
            writer.append_column(name, np.concatenate(values), sizes)
        else:
            writer.append_column(name, values)


def _count(summary: Summary, writer: StoreWriter, encoded: Encoded) -> None:
    _measure(summary, writer)
    summary.unknown_tokens += sum(side.unknown_tokens for side in encoded.sides.values())
    summary.empty_sentences += encoded.empty_sentences
    summary.halved_pairs += encoded.halved_pairs
    summary.blank_lines += encoded.blank_lines
    summary.bytes += encoded.bytes


def _measure(summary: Summary, writer: StoreWriter) -> None:
    sides = writer.sides.values()
    if "src" in writer.sides:
        summary.documents = writer.sides["src"].documents
        summary.one_sentence_documents = writer.sides["src"].one_sentence_documents
    summary.sentences = sum(side.sentences for side in sides)
    summary.tokens = sum(side.tokens for side in sides)
    summary.seconds = time.perf_counter() - summary.started


def _require_paired(corpus_format: str) -> None:
    if not FORMATS[corpus_format].paired:
        paired = ", ".join(name for name, one in FORMATS.items() if one.paired)
        raise ConfigError(
            [
                f"a corpus of format '{corpus_format}' has no second text for a tokenizer of the "
                f"target side; formats with one: {paired}."
            ]
        )


def _plugin(tokenizer: Tokenizer) -> str | None:
    """The file of a tokenizer that came by --plugin; a spawned worker must load it as well."""
    module = type(tokenizer).__module__
    return sys.modules[module].__file__ if module.startswith("uer_plugin_") else None
