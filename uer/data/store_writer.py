"""Writing a tokenised corpus: chunks are appended, in order, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from uer.data.media.references import Reference, as_arrays
from uer.data.store_meta import (
    META,
    ColumnMeta,
    MediaMeta,
    Meta,
    column_meta,
    side_meta,
    token_type,
    tokenizer_folder,
)
from uer.errors import UserError
from uer.files import atomic_folder
from uer.tokenizers.base import Tokenizer


@contextmanager
def write_store(
    path: str | Path,
    tokenizers: Mapping[str, Tokenizer],
    *,
    corpus_format: str,
    processor: dict[str, Any] | None = None,
) -> Iterator[StoreWriter]:
    """Write a store by appending; it stands at ``path`` only when the block ends well.

    Args:
        path: the folder to make; an older store there is replaced at the end.
        tokenizers: of each side.
        corpus_format: kept in the meta data.
        processor: kept in the meta data as given; must be JSON.

    Raises:
        UserError: the place cannot be written, or is no store of ours.
    """
    with atomic_folder(path, META) as folder, ExitStack() as files:
        writer = StoreWriter(folder, tokenizers, files)
        yield writer
        meta = writer.meta(corpus_format, processor)
        text = meta.model_dump_json(indent=2, exclude=None if meta.media else {"media", "classes"})
        (folder / META).write_text(text + "\n", encoding="utf-8")


class StoreWriter:
    """Appends chunks to the files of a store; holds no more than the chunk in memory.

    Args:
        folder: an empty folder.
        tokenizers: of each side; saved beside the data.
        files: closes the files at its end.

    Attributes:
        sides: the open sides, for their running counts.
        folder: the folder, for further files.
        classes: names of the classes that labels number.
    """

    def __init__(self, folder: Path, tokenizers: Mapping[str, Tokenizer], files: ExitStack) -> None:
        self._folder, self._files = folder, files
        self.folder, self.classes = folder, list[str]()
        self._columns: dict[str, ColumnMeta] = {}
        self._open: dict[str, tuple[_File, _File | None]] = {}
        self._media: dict[str, MediaMeta] = {}
        self._open_media: dict[str, list[_File]] = {}
        self._tokenizers = tokenizers
        for name, tokenizer in tokenizers.items():
            tokenizer.save(folder / tokenizer_folder(name))
        self.sides = {
            name: SideWriter(folder / name, token_type(tokenizer), files)
            for name, tokenizer in tokenizers.items()
        }

    def saved_tokenizer(self, side: str) -> Path:
        """Where the tokenizer of a side is saved."""
        return self._folder / tokenizer_folder(side)

    def append_column(
        self, name: str, values: np.ndarray, lengths: np.ndarray | None = None
    ) -> None:
        """Append the values of the next documents.

        Args:
            name: of the column.
            values: int64 or float32; [n] or [n, C], or [N] where ``lengths`` are given.
            lengths: int64 [n], how many values each document has.
        """
        if name not in self._open:
            place = self._folder / "columns"
            offsets = (
                _File(place / f"{name}.offsets.bin", self._files) if lengths is not None else None
            )
            if offsets is not None:
                offsets.append(np.zeros(1, np.int64))
            self._open[name] = _File(place / f"{name}.bin", self._files), offsets
            self._columns[name] = column_meta(values, variable=lengths is not None)
        assert self._columns[name] == column_meta(values, variable=lengths is not None)
        data, offsets = self._open[name]
        if lengths is not None and offsets is not None:
            held = data.bytes // values.itemsize
            offsets.append(held + np.cumsum(lengths, dtype=np.int64))
        data.append(values)

    def append_media(self, name: str, root: str, references: Sequence[Reference]) -> None:
        """Append the images or sounds of the next documents; none of them is read.

        Args:
            name: of the column.
            root: real path of the folder that all paths of the column are relative to.
            references: where they lie.
        """
        if not references:
            return
        text, lengths, places = as_arrays(references)
        if name not in self._open_media:
            place, members = self._folder / "media", places is not None
            endings = ("", ".offsets", ".places")[: 3 if members else 2]
            made = [_File(place / f"{name}{ending}.bin", self._files) for ending in endings]
            made[1].append(np.zeros(1, np.int64))
            self._open_media[name] = made
            self._media[name] = MediaMeta(root=root, members=members)
        data, offsets, *further = self._open_media[name]
        assert (places is not None) == bool(further), "a column holds files or members, not both"
        offsets.append(data.bytes + np.cumsum(lengths, dtype=np.int64))
        data.append(text)
        for file in further:
            assert places is not None
            file.append(places)

    def meta(self, corpus_format: str, processor: dict[str, Any] | None) -> Meta:
        """Close the sides; what was written."""
        for side in self.sides.values():
            side.finish()
        documents = {side.documents for side in self.sides.values()}
        for name, column in self._columns.items():
            data, offsets = self._open[name]
            row = np.dtype(column.dtype).itemsize * (column.width or 1)
            documents.add(data.bytes // row if offsets is None else offsets.bytes // 8 - 1)
        documents |= {offsets.bytes // 8 - 1 for _, offsets, *_ in self._open_media.values()}
        assert len(documents) == 1, f"sides and columns disagree on the documents: {documents}"
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return Meta(
            documents=documents.pop(),
            corpus_format=corpus_format,
            processor=processor,
            sides={
                name: side_meta(self._tokenizers[name], side.tokens, side.sentences)
                for name, side in self.sides.items()
            },
            columns=dict(sorted(self._columns.items())),
            media=dict(sorted(self._media.items())),
            classes=self.classes,
            files={
                path.relative_to(self._folder).as_posix(): path.stat().st_size for path in paths
            },
        )


class SideWriter:
    """Appends to one token side.

    Attributes:
        tokens: how many so far.
        sentences: how many so far.
        documents: how many are complete so far.
        one_sentence_documents: how many of these have a single sentence.
    """

    def __init__(self, folder: Path, dtype: str, files: ExitStack) -> None:
        self.tokens = self.sentences = self.documents = self.one_sentence_documents = 0
        self._dtype = dtype
        self._last_document = 0
        self._loose_bits = np.zeros(0, bool)
        self._tokens, self._sentences, self._documents, self._word_starts = (
            _File(folder / f"{name}.bin", files)
            for name in ("tokens", "sentences", "documents", "word_starts")
        )
        self._sentences.append(np.zeros(1, np.int64))
        self._documents.append(np.zeros(1, np.int64))

    def append(
        self,
        *,
        tokens: np.ndarray,
        word_starts: np.ndarray,
        sentence_lengths: np.ndarray,
        document_starts: np.ndarray,
    ) -> None:
        """Append sentences; the last document stays open for sentences of the next chunk.

        Args:
            tokens: [T] ids.
            word_starts: bool [T].
            sentence_lengths: int64 [S] tokens of each sentence.
            document_starts: int64, ascending sentence numbers of this chunk (0 … S) before which
                a document begins; one without a sentence vanishes.
        """
        self._end_documents(self.sentences + document_starts)
        self._tokens.append(tokens.astype(self._dtype))
        self._sentences.append(self.tokens + np.cumsum(sentence_lengths, dtype=np.int64))
        bits = np.concatenate([self._loose_bits, word_starts])
        whole = len(bits) // 8 * 8
        self._word_starts.append(np.packbits(bits[:whole], bitorder="little"))
        self._loose_bits = bits[whole:]
        self.tokens += len(tokens)
        self.sentences += len(sentence_lengths)

    def finish(self) -> None:
        """End the last document and write what is less than a byte."""
        self._end_documents(np.array([self.sentences]))
        self._word_starts.append(np.packbits(self._loose_bits, bitorder="little"))

    def _end_documents(self, ends: np.ndarray) -> None:
        """Write the sentence numbers at which documents end, each number once."""
        offsets = np.unique(np.append(ends, self._last_document)).astype(np.int64)
        self._documents.append(offsets[1:])
        self._last_document = int(offsets[-1])
        self.documents += len(offsets) - 1
        self.one_sentence_documents += int((np.diff(offsets) == 1).sum())


class _File:
    """A file that arrays are appended to, complete on disk after each one."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        path.parent.mkdir(exist_ok=True)
        self.bytes = 0
        self._path = path
        self._file = files.enter_context(path.open("wb"))

    def append(self, array: np.ndarray) -> None:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        try:
            self._file.write(little.tobytes())
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror}.") from error
        self.bytes += little.nbytes
