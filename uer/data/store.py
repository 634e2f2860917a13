"""The tokenised corpus: flat arrays on disk, read by memory-mapping.

A store knows tokens, sentences and documents, and nothing of objectives or lengths: instances are
computed from it anew each epoch, so one store serves every text objective. Its folder::

    meta.json                     counts, types, the size of every file
    src/tokens.bin                uint16 or uint32 [T], all token ids
    src/sentences.bin             int64 [S+1], where each sentence begins among the tokens
    src/documents.bin             int64 [D+1], where each document begins among the sentences
    src/word_starts.bin           one bit per token, least significant first
    columns/<name>.bin            a value or vector per document (labels, …)
    columns/<name>.offsets.bin    int64 [D+1], only where a document has any number of values
    media/<name>.bin              UTF-8, the path of every document's image or sound below a root
    media/<name>.offsets.bin      int64 [D+1], where each path begins
    media/<name>.places.bin       int64 [D, 2], first byte and size in the file; only for tar files
    tokenizer/                    the tokenizer of src; tokenizer_<side>/ of further sides

A store of images or sounds without text has no side and no tokenizer.

Everything is little-endian and depends on the corpus, the tokenizer and the options alone: no time,
no number of processes, and no path but the root of media. The same input gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uer.data.media.references import MediaColumn
from uer.data.store_meta import (
    ColumnMeta,
    MediaMeta,
    Meta,
    column_meta,
    read_meta,
    side_meta,
    token_type,
    tokenizer_folder,
)
from uer.errors import DataError, UserError
from uer.tokenizers.base import Tokenizer, load


@dataclass(frozen=True, eq=False)
class TokenSide:
    """The tokens of one side of a corpus.

    Args:
        tokens: uint16 or uint32 [T].
        sentences: int64 [S+1] token offsets.
        documents: int64 [D+1] sentence offsets.
        word_starts: uint8 [ceil(T / 8)] packed bits; read them with `starts`.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    word_starts: np.ndarray

    def starts(self, indices: np.ndarray) -> np.ndarray:
        """bool, shaped as ``indices``: whether these tokens begin a word."""
        octets = self.word_starts[indices >> 3]
        return ((octets >> (indices & 7).astype(np.uint8)) & 1).astype(bool)


@dataclass(frozen=True, eq=False)
class VariableColumn:
    """A column with any number of values per document.

    Args:
        values: [N] the values of all documents.
        offsets: int64 [D+1].
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        """D."""
        return len(self.offsets) - 1

    def __getitem__(self, document: int) -> np.ndarray:
        """The values of one document."""
        return self.values[self.offsets[document] : self.offsets[document + 1]]


class Store:
    """A tokenised corpus; `open` reads one from disk, `in_memory` makes one of rows.

    Attributes:
        sides: token sides by name; text has ``src``.
        columns: by name, [D] or [D, C] arrays or a `VariableColumn`.
        media: images or sounds by name.
        meta: counts and origin.
    """

    def __init__(
        self,
        meta: Meta,
        sides: dict[str, TokenSide],
        columns: dict[str, Any],
        tokenizers: Mapping[str, Tokenizer | Path],
        media: dict[str, MediaColumn] | None = None,
        *,
        folder: Path | None = None,
    ) -> None:
        self.meta, self.sides, self.columns = meta, sides, columns
        self.media = media or {}
        self._tokenizers = dict(tokenizers)
        self._folder = folder

    def __reduce__(self) -> Any:
        """Another process maps the same files instead of receiving a copy."""
        if self._folder is None:
            return Store, (self.meta, self.sides, self.columns, {}, self.media)
        root = next((column.root for column in self.media.values()), None)
        return Store.open, (self._folder, root)

    @classmethod
    def open(cls, path: str | Path, media_root: str | Path | None = None) -> Store:
        """Map a store that preprocessing wrote; nothing is loaded yet.

        Args:
            path: its folder.
            media_root: where the media are now, if they were moved since.

        Raises:
            DataError: there is no whole store of a known format at ``path``, or no folder where its
                media should be.
        """
        folder = Path(path)
        meta = read_meta(folder)
        sides = {name: _open_side(folder / name, side.dtype) for name, side in meta.sides.items()}
        columns = {
            name: _open_column(folder / "columns", name, column)
            for name, column in meta.columns.items()
        }
        media = {
            name: _open_media(folder / "media", name, media_root or column.root, column.members)
            for name, column in meta.media.items()
        }
        tokenizers = {name: folder / tokenizer_folder(name) for name in sides}
        return cls(meta, sides, columns, tokenizers, media, folder=folder)

    @classmethod
    def in_memory(
        cls,
        tokenizer: Tokenizer | None,
        documents: Sequence[Sequence[str]],
        columns: Mapping[str, Any] | None = None,
        media: Mapping[str, MediaColumn] | None = None,
    ) -> Store:
        """A store of rows, for fine-tuning and inference.

        Every row stays a document and every text a sentence, even without a token: row numbers
        are what predictions are written by.

        Args:
            tokenizer: of the only side, ``src``; None: there is no text.
            documents: the sentences of each document; without a tokenizer empty.
            columns: [D] or [D, C] values by name; integers become int64, floats float32.
            media: images or sounds by name.

        Raises:
            DataError: a column does not fit the documents.
        """
        sides: dict[str, TokenSide] = {}
        if tokenizer is not None:
            sides["src"] = _encoded_side(tokenizer, documents)
        media = dict(media or {})
        rows = {len(documents)} if tokenizer is not None else set()
        rows |= {len(column) for column in media.values()}
        assert len(rows) == 1, f"texts and media disagree on the rows: {rows}"
        size = rows.pop()
        made = {name: _column(name, values, size) for name, values in (columns or {}).items()}
        meta = Meta(
            documents=size,
            corpus_format="rows",
            processor=None,
            sides={
                name: side_meta(tokenizer, len(side.tokens), len(side.sentences) - 1)
                for name, side in sides.items()
                if tokenizer is not None
            },
            columns={name: column_meta(values) for name, values in made.items()},
            media={
                name: MediaMeta(root=column.root, members=column.places is not None)
                for name, column in media.items()
            },
            files={},
        )
        return cls(meta, sides, dict(made), {"src": tokenizer} if tokenizer else {}, media)

    def __len__(self) -> int:
        """How many documents there are."""
        return self.meta.documents

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return self.meta.documents

    @property
    def sentences(self) -> int:
        """How many sentences there are, over all sides."""
        return sum(side.sentences for side in self.meta.sides.values())

    @property
    def tokens(self) -> int:
        """How many tokens there are, over all sides."""
        return sum(side.tokens for side in self.meta.sides.values())

    def tokenizer(self, side: str = "src") -> Tokenizer:
        """The tokenizer that made a side; loaded when first asked for."""
        found = self._tokenizers[side]
        if isinstance(found, Path):
            found = self._tokenizers[side] = load(found)
        return found

    def require_tokenizer(self, tokenizer: Tokenizer, side: str = "src") -> None:
        """Refuse a tokenizer that gives other ids than the one the side was made with.

        Raises:
            UserError: the fingerprints differ.
        """
        made = self.meta.sides[side].tokenizer
        if made.fingerprint != tokenizer.fingerprint():
            raise UserError(
                f"the dataset's side '{side}' was made with another tokenizer: "
                f"{made.kind} with {made.vocab_size} tokens, here is "
                f"{tokenizer.kind} with {tokenizer.vocab_size} tokens (vocabulary, special tokens "
                "or options differ); run preprocess again or give its tokenizer."
            )


def _encoded_side(tokenizer: Tokenizer, documents: Sequence[Sequence[str]]) -> TokenSide:
    encoded = tokenizer.encode_batch([text for texts in documents for text in texts])
    return TokenSide(
        tokens=encoded.ids.astype(token_type(tokenizer)),
        sentences=_offsets(encoded.lengths),
        documents=_offsets(np.array([len(texts) for texts in documents], np.int64)),
        word_starts=np.packbits(encoded.word_starts, bitorder="little"),
    )


def _open_side(folder: Path, dtype: str) -> TokenSide:
    return TokenSide(
        tokens=_map(folder / "tokens.bin", dtype),
        sentences=_map(folder / "sentences.bin", "int64"),
        documents=_map(folder / "documents.bin", "int64"),
        word_starts=_map(folder / "word_starts.bin", "uint8"),
    )


def _open_column(folder: Path, name: str, meta: ColumnMeta) -> np.ndarray | VariableColumn:
    values = _map(folder / f"{name}.bin", meta.dtype)
    if meta.variable:
        return VariableColumn(values, _map(folder / f"{name}.offsets.bin", "int64"))
    return values if meta.width is None else values.reshape(-1, meta.width)


def _open_media(folder: Path, name: str, root: str | Path, members: bool) -> MediaColumn:
    if not Path(root).is_dir():
        raise DataError(
            f"the data set's {name}s lie below this folder, which is not there; say where they are "
            "now with --media_root, or preprocess again.",
            root,
        )
    return MediaColumn(
        os.path.realpath(root),
        _map(folder / f"{name}.bin", "uint8"),
        _map(folder / f"{name}.offsets.bin", "int64"),
        _map(folder / f"{name}.places.bin", "int64").reshape(-1, 2) if members else None,
    )


def _map(path: Path, dtype: str) -> np.ndarray:
    little = np.dtype(dtype).newbyteorder("<")
    # An empty file cannot be mapped.
    return np.memmap(path, little, "r") if path.stat().st_size else np.zeros(0, little)


def _column(name: str, values: Any, documents: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape[:1] != (documents,) or array.ndim > 2:
        raise DataError(
            f"column '{name}' has shape {list(array.shape)}, but there are {documents} rows."
        )
    if array.dtype.kind not in "iuf":
        raise DataError(f"column '{name}' holds {array.dtype}, expected integers or floats.")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
