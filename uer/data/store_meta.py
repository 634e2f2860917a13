"""What ``meta.json`` of a tokenised corpus says, and whether the folder is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from uer.errors import DataError
from uer.tokenizers.base import Tokenizer

META = "meta.json"
FORMAT = "uer-dataset"
VERSION = 1

ColumnType = Literal["int64", "float32"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TokenizerMeta(_Strict):
    """Which tokenizer made a side."""

    kind: str
    vocab_size: int
    fingerprint: str


class SideMeta(_Strict):
    """Counts of one token side."""

    tokens: int
    sentences: int
    dtype: Literal["uint16", "uint32"]
    tokenizer: TokenizerMeta


class ColumnMeta(_Strict):
    """Type of a column: one value per document, ``width`` of them, or any number of them."""

    dtype: ColumnType
    width: int | None = None
    variable: bool = False


class MediaMeta(_Strict):
    """A column of images or sounds.

    Args:
        root: folder that their paths are relative to.
        members: they are stretches of files (members of tar files).
    """

    root: str
    members: bool = False


class Meta(_Strict):
    """What ``meta.json`` says.

    Args:
        documents: D.
        corpus_format: how the corpus was read; see `uer.data.corpus`.
        processor: name and options of the data processor it was made for, as the caller gave them.
        media: columns of images or sounds.
        classes: names of the classes that labels number, where the corpus has names for them.
        files: size in bytes of every other file, by its path inside the folder.
    """

    format: Literal["uer-dataset"] = FORMAT
    version: Literal[1] = VERSION
    documents: int
    corpus_format: str
    processor: dict[str, Any] | None
    sides: dict[str, SideMeta]
    columns: dict[str, ColumnMeta]
    media: dict[str, MediaMeta] = {}
    classes: list[str] = []
    files: dict[str, int]


def read_meta(folder: Path) -> Meta:
    """Read ``meta.json`` and see that every file has the size it was written with.

    Raises:
        DataError: there is no whole dataset of a known format.
    """
    meta = _parse_meta(folder)
    for name, size in meta.files.items():
        _require_size(folder / name, size)
    return meta


def _parse_meta(folder: Path) -> Meta:
    if folder.is_file():
        raise DataError(
            "this is a file, but a dataset is a folder now; if UER-py or TencentPretrain made it "
            "(dataset.pt), run preprocess again.",
            folder,
        )
    source = folder / META
    try:
        stored = json.loads(source.read_bytes())
    except FileNotFoundError as error:
        what = "holds no meta.json, so it is no dataset" if folder.is_dir() else "does not exist"
        raise DataError(f"this folder {what}; make one with preprocess.", folder) from error
    except ValueError as error:
        raise DataError("this is not JSON; run preprocess again.", source) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise DataError("this does not describe a dataset; make one with preprocess.", source)
    version = stored.get("version")
    if isinstance(version, int) and version > VERSION:
        raise DataError(
            f"the dataset has format version {version}, this uer reads up to {VERSION}; "
            "update uer or run preprocess again.",
            source,
        )
    try:
        return Meta.model_validate(stored)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise DataError(f"damaged at {places}; run preprocess again.", source) from error


def _require_size(path: Path, expected: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(
            "this file of the dataset is missing; run preprocess again.", path
        ) from error
    if size != expected:
        raise DataError(
            f"the file has {size} bytes where {expected} were written; run preprocess again.", path
        )


def column_meta(values: np.ndarray, *, variable: bool = False) -> ColumnMeta:
    """Meta data of a column that holds ``values``, [n], [n, C] or (variable) [N]."""
    width = values.shape[1] if values.ndim == 2 else None
    assert values.dtype in (np.int64, np.float32), values.dtype
    dtype = "int64" if values.dtype == np.int64 else "float32"
    return ColumnMeta(dtype=dtype, width=width, variable=variable)


def side_meta(tokenizer: Tokenizer, tokens: int, sentences: int) -> SideMeta:
    """Meta data of a side that a tokenizer made."""
    made = TokenizerMeta(
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        fingerprint=tokenizer.fingerprint(),
    )
    dtype = token_type(tokenizer)
    return SideMeta(tokens=tokens, sentences=sentences, dtype=dtype, tokenizer=made)


def token_type(tokenizer: Tokenizer) -> Literal["uint16", "uint32"]:
    """The narrowest type that holds every id."""
    return "uint16" if tokenizer.vocab_size < 1 << 16 else "uint32"


def tokenizer_folder(side: str) -> str:
    """Name of the folder that holds a side's tokenizer."""
    return "tokenizer" if side == "src" else f"tokenizer_{side}"
