"""From manifests, folders and tar files to documents with media; nothing is decoded here.

Paths must stay below the folder of their manifest (or ``media_root``): absolute ones, ``..`` and
links that lead out of it are refused. Files that are not there are left out and named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from uer.data.formats import FORMATS, Column, Parsed
from uer.data.media.folders import class_names, read_folder, read_shard
from uer.data.media.references import MediaError, Medium, Reference, Unread, real_path
from uer.data.media.report import MediaReport
from uer.data.media.rows import MEDIA, Row, read_jsonl, read_parquet, read_tsv, reference_of
from uer.data.media.sound import measure as measure_sound
from uer.errors import DataError

# What is noted of every medium of a kind, as columns ``<kind>_<name>``; reads its header.
MEASURES: dict[str, Callable[[Medium], dict[str, int]]] = {"sound": measure_sound}

_ROWS = 2048  # of a piece of work
_READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".json": read_jsonl,
    ".parquet": read_parquet,
    ".tar": read_shard,
}


@dataclass(frozen=True)
class Collection:
    """The rows of a corpus with media.

    Args:
        paths: manifests, folders, tar files.
        fields: what a row has; see `CorpusFormat.fields`.
        root: real path of the folder that all media lie below.
        bases: real path of the folder that each path's media are relative to.
        classes: names of the classes, where sub-folders are.
        report: notes what is left out.
    """

    paths: list[Path]
    fields: tuple[str, ...]
    root: str
    bases: list[str]
    classes: list[str]
    report: MediaReport

    @staticmethod
    def of(
        paths: Sequence[str | Path],
        corpus_format: str,
        report: MediaReport,
        media_root: str | Path | None = None,
    ) -> Collection:
        """Look at the paths, not yet at what is in them.

        Args:
            paths: manifests, folders, tar files.
            corpus_format: a name in `FORMATS`, of a manifest.
            report: notes what is left out.
            media_root: folder that the paths in manifests are relative to; by default the
                manifest's own.

        Raises:
            DataError: one of them is not there.
        """
        found = [Path(path) for path in paths]
        for path in found:
            if not path.exists():
                raise DataError("there is no such file or folder.", path)
        if media_root is not None and not Path(media_root).is_dir():
            raise DataError("media_root: there is no such folder.", media_root)
        bases = [os.path.realpath(_base(path, media_root)) for path in found]
        fields = FORMATS[corpus_format].fields
        folders = [path for path in found if path.is_dir()]
        if folders and "label" in fields and len(folders) < len(found):
            raise DataError(
                "the corpus mixes class folders and files, whose numbers of classes may differ; "
                "preprocess them apart, or write one manifest."
            )
        classes = class_names(folders) if folders and "label" in fields else []
        root = os.path.commonpath(bases) if bases else ""
        return Collection(found, fields, root, bases, classes, report)

    def pieces(self) -> Iterator[Parsed]:
        """The documents, some at a time.

        Raises:
            DataError: a row is not of the format, or names a file outside of its folder.
        """
        rows = self._rows()
        while chosen := list(islice(rows, _ROWS)):
            yield self._parsed([values for values in map(self._checked, chosen) if values])

    def _rows(self) -> Iterator[tuple[Row, str]]:
        for path, base in zip(self.paths, self.bases, strict=True):
            if path.is_dir():
                found = read_folder(path, self.fields, self.classes)
            else:
                found = _READERS.get(path.suffix.lower(), read_tsv)(path, self.fields)
            yield from ((row, base) for row in found)

    def _checked(self, found: tuple[Row, str]) -> dict[str, Any] | None:
        """A row's values, or None where one of its media is not there."""
        row, base = found
        values = dict(row.values)
        for name in MEDIA:
            if name not in values:
                continue
            reference = self._reference(reference_of(values[name]), row, base)
            try:
                if reference is None:
                    raise MediaError("no such file")
                medium = Medium(self.root, reference)
                measured = MEASURES[name](medium) if name in MEASURES else {}
            except MediaError as error:
                shown = reference_of(values[name]).name
                self.report.add([Unread(shown, error.reason, error.detail)])
                return None
            values[name] = reference
            values |= {f"{name}_{key}": value for key, value in measured.items()}
        return values

    def _reference(self, given: Reference, row: Row, base: str) -> Reference | None:
        """With a path relative to the root, or None: there is no such file.

        Raises:
            DataError: it is outside of the base.
        """
        path = given.path
        if not path.strip() or "\0" in path:
            raise row.error(f"{path[:80]!r} is no path.")
        whole = os.path.normpath(os.path.join(base, path))  # noqa: PTH118 - lexical, and fast
        inside = whole.startswith(base + os.sep)
        real = real_path(base, whole) if inside else None
        if real is None:
            how = "is a link that leads" if inside else "leads"
            raise row.error(
                f"the path {path[:200]!r} {how} out of {base}, and only what lies below it is "
                "read; move the file there, or name a folder that holds all of them with "
                "--media_root."
            )
        if not os.path.isfile(real):  # noqa: PTH113
            return None
        try:
            whole.encode("utf-8")
        except UnicodeEncodeError:
            raise row.error(f"the name {path[:200]!r} is not UTF-8; rename the file.") from None
        return given._replace(path=os.path.relpath(whole, self.root).replace(os.sep, "/"))

    def _parsed(self, rows: list[dict[str, Any]]) -> Parsed:
        texts = [row["text"] for row in rows] if "text" in self.fields else []
        numbers = [name for name in (rows[0] if rows else ()) if name not in ("text", *MEDIA)]
        return Parsed(
            texts,
            np.arange(len(rows)),
            {name: _column(name, [row[name] for row in rows]) for name in numbers},
            0,
            {name: [row[name] for row in rows] for name in MEDIA if name in self.fields},
        )


def _base(path: Path, media_root: str | Path | None) -> str | Path:
    """The folder that the media of a path are relative to."""
    if path.is_dir():
        return path
    if path.suffix.lower() == ".tar" or media_root is None:
        return path.parent
    return media_root


def _column(name: str, values: list[Any]) -> Column:
    """int64 [n], or float32 [n, C] of shares, or a list of n arrays of any length.

    Raises:
        DataError: some are shares and some are none, or not of the same classes.
    """
    if values and isinstance(values[0], np.ndarray):
        return values
    widths = {len(value) if isinstance(value, list) else None for value in values}
    if len(widths) > 1:
        raise DataError(
            f"the {name}s are numbers in some rows and shares in others, or shares of different "
            f"numbers of classes ({', '.join(map(str, widths))}); write the same in all rows."
        )
    return np.array(values, np.int64 if widths == {None} else np.float32)
