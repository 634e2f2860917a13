"""Folders and tar files of media as rows.

A folder has a sub-folder for each class (``cats/1.jpg``), numbered in the order of their names; for
objectives without labels every file below it counts. A tar file (a shard of a WebDataset) holds the
files of a row one after the other under one name: ``000.jpg, 000.cls, 000.txt`` or ``000.json``.
Shards are not unpacked: where each member lies is noted, and later it is read from there.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from uer.data.media.references import SEPARATOR, Reference
from uer.data.media.rows import MEDIA, Row, label_of
from uer.errors import DataError

ENDINGS = {
    "image": (
        *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".avif"),
    ),
    "sound": (".wav", ".flac", ".ogg", ".opus", ".mp3"),
    "regions": (".npz",),
}
_SMALL = 1 << 20  # bytes of a text or label in a shard


def class_names(folders: Sequence[Path]) -> list[str]:
    """The classes of folders, sorted; a class is a sub-folder of any of them.

    Raises:
        DataError: a folder has none.
    """
    found: set[str] = set()
    for folder in folders:
        names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
        if not names:
            raise DataError("this folder has no sub-folder; it needs one for each class.", folder)
        found |= names
    return sorted(found)


def read_folder(folder: Path, fields: Sequence[str], classes: Sequence[str]) -> Iterator[Row]:
    """The media below a folder, sorted.

    Args:
        folder: the folder.
        fields: one medium, and perhaps its label.
        classes: all of them, where there are labels.

    Raises:
        DataError: the rows need a text.
    """
    if "text" in fields:
        raise DataError(
            "this is a folder, which has no texts; write a manifest of lines with "
            f"{'<TAB>'.join(fields)}.",
            folder,
        )
    medium = next(field for field in fields if field in MEDIA)
    numbers = {name: number for number, name in enumerate(classes)}
    if "label" not in fields:
        for path in _files(folder, ENDINGS[medium]):
            yield Row({medium: path.relative_to(folder).as_posix()}, folder)
        return
    for name in classes:
        for path in _files(folder / name, ENDINGS[medium]):
            values = {medium: path.relative_to(folder).as_posix(), "label": numbers[name]}
            yield Row(values, folder)


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(endings):
                yield Path(root) / name


def read_shard(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    """The rows of a tar file.

    Raises:
        DataError: it is none, is compressed, or a row lacks a field.
    """
    try:
        with tarfile.open(path, "r:") as shard:
            key, parts = "", {}
            for member in shard:
                if not member.isreg() or member.issparse():
                    continue
                stem, ending = _split(member.name)
                if stem != key and parts:
                    yield _row(path, key, parts, fields)
                    parts = {}
                key = stem
                parts[ending] = _part(shard, member, ending, path)
            if parts:
                yield _row(path, key, parts, fields)
    except tarfile.ReadError as error:
        raise DataError(
            f"this is no whole tar file without compression ({error}); unpack a compressed one.",
            path,
        ) from error


def _split(name: str) -> tuple[str, str]:
    """The name of a row, and the ending that says which part of it this is."""
    path = PurePosixPath(name)
    stem, dot, ending = path.name.partition(".")
    return str(path.parent / stem), (dot + ending).lower()


def _part(shard: tarfile.TarFile, member: tarfile.TarInfo, ending: str, path: Path) -> Any:
    if ending.endswith(sum(ENDINGS.values(), ())):
        return Reference(path.name, member.offset_data, member.size, member.name)
    if ending not in (".cls", ".txt", ".json") or member.size > _SMALL:
        return None
    file = shard.extractfile(member)
    assert file is not None, "a regular member has content"
    try:
        return file.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError("this member is not UTF-8.", f"{path}{SEPARATOR}{member.name}") from error


def _row(path: Path, key: str, parts: dict[str, Any], fields: Sequence[str]) -> Row:
    row = Row({}, Path(f"{path}{SEPARATOR}{key}"))
    described: dict[str, Any] = {}
    if parts.get(".json"):
        try:
            described = json.loads(parts[".json"])
        except ValueError as error:
            raise row.error(f"its .json is not JSON ({error}).") from error
    for field in fields:
        value = _field(field, parts, described)
        if value is None:
            have = ", ".join(parts)
            raise row.error(f"this row of the shard has no {field}; it has {have}.")
        row.values[field] = label_of(value, row) if field == "label" else value
    return row


def _field(field: str, parts: dict[str, Any], described: dict[str, Any]) -> Any:
    if field in MEDIA:
        endings = ENDINGS[field]
        return next((value for end, value in parts.items() if end.endswith(endings)), None)
    ending = {"label": ".cls", "text": ".txt"}[field]
    return parts.get(ending, described.get(field, described.get("caption")))
