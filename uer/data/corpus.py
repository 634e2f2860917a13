"""Reading corpora: fixed blocks of bytes, exact line numbers.

The work list is cut by bytes, not by the number of processes, so every number of processes sees the
same blocks in the same order. A line belongs to the block in which it starts. Lines end at ``\\n``
or ``\\r\\n``; a last line without an end counts; a byte order mark is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from uer.data.formats import FORMATS, Parsed, WrongLineError
from uer.errors import DataError

BLOCK_BYTES = 2 << 20
_BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """The lines of a file that start in a range of bytes.

    Args:
        path: the file.
        start: first byte.
        end: behind the last byte.
    """

    path: str
    start: int
    end: int


def cut_blocks(paths: Sequence[str | Path], block_bytes: int = BLOCK_BYTES) -> list[Block]:
    """The work list of a corpus of one or several files.

    Raises:
        DataError: a file is missing or is a folder.
    """
    blocks = []
    for path in map(Path, paths):
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise DataError(f"{what}; a corpus is one or several text files.", path)
        size = path.stat().st_size
        blocks += [
            Block(str(path), start, min(start + block_bytes, size))
            for start in range(0, size, block_bytes)
        ]
    return blocks


def read_lines(block: Block) -> list[str]:
    """The lines that start in a block, without their ends.

    Raises:
        DataError: a line is not UTF-8.
    """
    first, content = _read(block)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start)
        line = _line_number(block.path, first) + number
        raise DataError("this line is not UTF-8; convert the file.", block.path, line) from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def read_documents(block: Block, corpus_format: str) -> Parsed:
    """The documents of a block; the first may belong to the one before, where sentences do.

    Raises:
        DataError: a line is not UTF-8, or has not the shape of the format.
    """
    lines = read_lines(block)
    try:
        parse = FORMATS[corpus_format].parse
        assert parse is not None, "manifests are no text"
        return parse(lines)
    except WrongLineError as error:
        line = _line_number(block.path, _read(block)[0]) + error.number
        shape = FORMATS[corpus_format].shape
        message = f"{error.message}; a corpus of format '{corpus_format}' has {shape}."
        raise DataError(message, block.path, line) from error


def _read(block: Block) -> tuple[int, bytes]:
    """Where the first line of a block starts, and the bytes of its lines."""
    with Path(block.path).open("rb") as file:
        first = 0
        if block.start:
            # A line starts behind a line end, and the one before the block may be the last before.
            file.seek(block.start - 1)
            head = file.read(block.end - block.start)
            found = head.find(b"\n")
            if found < 0:
                return block.start, b""
            first = block.start + found
        file.seek(first)
        content = file.read(block.end - first)
        if not content.endswith(b"\n"):
            content += file.readline()
    return first, content.removeprefix(_BOM) if first == 0 else content


def _line_number(path: str, position: int) -> int:
    """Number, from 1, of the line that starts at a byte; reads the file up to there."""
    lines, left = 1, position
    with Path(path).open("rb") as file:
        while left > 0:
            piece = file.read(min(left, BLOCK_BYTES))
            lines += piece.count(b"\n")
            left -= len(piece)
    return lines
