"""Rows of a manifest, whatever its format: a few named values each.

What a corpus format calls its fields is looked for by these names in headers, JSON objects and
tables: ``label``, ``text``, and ``image`` or ``sound`` or just ``path``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uer.data.media.references import Reference
from uer.errors import DataError, UserError

MEDIA = ("image", "sound", "regions")  # fields that are media
_NAMES = {
    "label": ("label",),
    "codes": ("codes",),
    "text": ("text", "caption"),
    "image": ("image", "path", "image_path"),
    "sound": ("sound", "path", "wav_path", "audio"),
    "regions": ("regions", "path"),
}
_DIGITS = 18  # fit into an int64
_BOM = "\ufeff"


class Row(NamedTuple):
    """A row.

    Args:
        values: by field: of media a path or a reference, of a label a class or a list of shares.
        path: the file it stands in.
        line: its line there, or its number in a table, from 1.
    """

    values: dict[str, Any]
    path: Path
    line: int | None = None

    def error(self, message: str) -> DataError:
        """An error that names the row."""
        return DataError(message, self.path, self.line)


def read_tsv(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    """Fields with tabs between, in the order of the format, or in that of a line of names.

    Raises:
        DataError: a line has not the format's fields, or is not UTF-8.
    """
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        return
    head = first[1].split("\t")
    columns = {field: _found(field, head) for field in fields}
    named = all(name is not None for name in columns.values())
    order = [head.index(columns[field] or "") for field in fields] if named else range(len(fields))
    width = len(head) if named else len(fields)
    for number, line in lines if named else chain([first], lines):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != width:
            shape = "<TAB>".join(head if named else fields)
            raise DataError(
                f"the line has {len(cells)} fields; expected are {shape}.", path, number
            )
        values: dict[str, Any] = {
            field: cells[place] for field, place in zip(fields, order, strict=True)
        }
        yield _labelled(Row(values, path, number))


def read_jsonl(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    """A JSON object in each line.

    Raises:
        DataError: a line is none, or lacks a field.
    """
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"the line is not JSON ({error}).", path, number) from error
        if not isinstance(found, dict):
            raise DataError("the line is no JSON object.", path, number)
        yield _picked(found, fields, path, number)


def read_parquet(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    """A table in Parquet.

    Raises:
        DataError: it is none, or lacks a column.
        UserError: pyarrow is not installed.
    """
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        arrow: Any = importlib.import_module("pyarrow")
    except ImportError as error:
        raise UserError(
            f"{path}: Parquet needs the extra 'parquet': pip install 'uer[parquet]'."
        ) from error
    try:
        table = parquet.ParquetFile(path)
        wanted = [name for name in table.schema_arrow.names if any(map(_is(name), fields))]
        number = 0
        for batch in table.iter_batches(columns=wanted):
            for found in batch.to_pylist():
                number += 1
                yield _picked(found, fields, path, number)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"this is no Parquet table: {error}.", path) from error


def _is(name: str) -> Any:
    return lambda field: name in _NAMES[field]


def _picked(found: Mapping[str, Any], fields: Sequence[str], path: Path, number: int) -> Row:
    """The fields of a mapping."""
    values = {}
    for field in fields:
        name = _found(field, found)
        if name is None:
            have = ", ".join(map(str, found)) or "nothing"
            raise DataError(f"there is no '{field}' here, only {have}.", path, number)
        values[field] = found[name]
        if field not in ("label", "codes") and not isinstance(found[name], str):
            raise DataError(f"'{name}' is no text.", path, number)
    return _labelled(Row(values, path, number))


def _found(field: str, names: Any) -> str | None:
    """The name that a field has there."""
    return next((name for name in _NAMES[field] if name in names), None)


def _labelled(row: Row) -> Row:
    """With the label and the codes as numbers."""
    if "label" in row.values:
        row.values["label"] = label_of(row.values["label"], row)
    if "codes" in row.values:
        row.values["codes"] = _codes_of(row.values["codes"], row)
    return row


def _codes_of(value: Any, row: Row) -> np.ndarray:
    """int64 [n] numbers, in a list or with blanks between.

    Raises:
        DataError: something else stands there.
    """
    codes = value.split() if isinstance(value, str) else value
    if isinstance(codes, list) and all(_is_code(code) for code in codes):
        return np.array(codes, np.int64)
    raise row.error("the codes are not whole numbers 0, 1, 2, … with blanks between.")


def _is_code(code: Any) -> bool:
    if isinstance(code, str):
        return code.isascii() and code.isdigit() and len(code) <= _DIGITS
    return type(code) is int and 0 <= code < 10**_DIGITS


def label_of(value: Any, row: Row) -> int | list[float]:
    """A class, or the shares of all classes.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        return [float(v) for v in value]
    text = str(value)
    if isinstance(value, int | str) and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    raise row.error(f"the label {text[:40]!r} is not one of 0, 1, 2, …")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                text = line.removesuffix("\n").removesuffix("\r")
                yield number, text.removeprefix(_BOM) if number == 1 else text
    except UnicodeDecodeError as error:
        raise DataError("this manifest is not UTF-8; convert the file.", path) from error
    except OSError as error:
        raise DataError(f"the manifest cannot be read: {error.strerror}.", path) from error


def reference_of(value: str | Reference) -> Reference:
    """Where a medium lies; a text is the path of a whole file."""
    return Reference(value) if isinstance(value, str) else value
