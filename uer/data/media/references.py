"""Where images and sounds lie: a store refers to files, it never copies them.

A *medium* is a file below a root folder, or a stretch of one (a member of a tar file). Names are
relative to the root, which the data set keeps; nothing outside of it is ever opened.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

SEPARATOR = "::"  # between a tar file and its member in names for people


class MediaError(Exception):
    """A medium that cannot be read; it is left out and named, and no run ends because of it.

    Args:
        reason: a few words, the same for all media with this fault; they are counted by it.
        detail: what is special about this one.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason} ({detail})" if detail else reason)


class Unread(NamedTuple):
    """A medium that could not be read.

    Args:
        name: of the medium.
        reason: see `MediaError`.
        detail: see `MediaError`.
    """

    name: str
    reason: str
    detail: str = ""


class Reference(NamedTuple):
    """Where a medium lies, as a manifest or an index of shards says it.

    Args:
        path: of the file, relative to the root, with ``/``.
        start: first byte; of a whole file 0.
        size: bytes; -1: the whole file.
        member: what the tar file calls this stretch; only for people.
    """

    path: str
    start: int = 0
    size: int = -1
    member: str = ""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.path}{SEPARATOR}{self.member}" if self.member else self.path


@dataclass(frozen=True)
class Medium:
    """One image or sound.

    Args:
        root: folder that holds it; real, without links.
        reference: where it lies below.
    """

    root: str
    reference: Reference

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.reference.name

    def read(self, limit: int) -> bytes:
        """Its bytes.

        Args:
            limit: more bytes than this are not read.

        Raises:
            MediaError: it is missing, empty, too big, or lies outside of the root.
        """
        path = real_path(self.root, self.reference.path)
        if path is None:
            raise MediaError("outside of the root")
        try:
            with Path(path).open("rb") as file:
                if self.reference.size >= 0:
                    file.seek(self.reference.start)
                    size = self.reference.size
                else:
                    size = os.fstat(file.fileno()).st_size
                if size > limit:
                    raise MediaError("too many bytes", f"{size:,}; at most {limit:,}")
                content = file.read(size)
        except FileNotFoundError as error:
            raise MediaError("no such file") from error
        except OSError as error:
            raise MediaError("cannot be opened", error.strerror or "") from error
        if not content:
            raise MediaError("empty")
        if len(content) < size:
            raise MediaError("truncated", f"{len(content):,} of {size:,} bytes")
        return content


@dataclass(frozen=True, eq=False)
class MediaColumn:
    """A medium per document.

    Args:
        root: folder that the paths are relative to.
        text: uint8 [T] UTF-8 of all paths, one after the other; behind that of a tar file stands
            the member's name after a zero byte, which no path contains.
        offsets: int64 [D+1] where each path starts.
        places: int64 [D, 2] first byte and size of each medium in its file; None: whole files.
    """

    root: str
    text: np.ndarray
    offsets: np.ndarray
    places: np.ndarray | None = None

    def __len__(self) -> int:
        """D."""
        return len(self.offsets) - 1

    def __getitem__(self, document: int) -> Medium:
        """The medium of a document."""
        text = self.text[self.offsets[document] : self.offsets[document + 1]]
        path, _, member = text.tobytes().decode("utf-8").partition("\0")
        start, size = (0, -1) if self.places is None else self.places[document].tolist()
        return Medium(self.root, Reference(path, start, size, member))

    @staticmethod
    def of(root: str | Path, references: Sequence[Reference]) -> MediaColumn:
        """A column in memory."""
        texts, lengths, places = as_arrays(references)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return MediaColumn(os.path.realpath(root), texts, offsets, places)


def as_arrays(
    references: Sequence[Reference],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """uint8 [T] UTF-8 of the paths, int64 [n] their lengths, int64 [n, 2] places in the files.

    The places are None where all are whole files.
    """
    encoded = [
        "\0".join(filter(None, (reference.path, reference.member))).encode("utf-8")
        for reference in references
    ]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    places = np.array([reference[1:3] for reference in references], np.int64).reshape(-1, 2)
    whole = not (places[:, 1] >= 0).any()
    return np.frombuffer(b"".join(encoded), np.uint8), lengths, None if whole else places


def real_path(root: str, path: str) -> str | None:
    """The file without links, or None where it is not below the root.

    Args:
        root: a real path (`os.path.realpath`).
        path: relative to it, or absolute.
    """
    found = os.path.realpath(os.path.join(root, path))  # noqa: PTH118 - much faster than pathlib
    below = root if root.endswith(os.sep) else root + os.sep
    return found if found.startswith(below) else None
