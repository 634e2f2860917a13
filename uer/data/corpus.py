"""Reading corpora: fixed blocks of bytes, exact line numbers, three formats.

The work list is cut by bytes, not by the number of processes, so every number of processes sees the
same blocks in the same order. A line belongs to the block in which it starts. Lines end at ``\\n``
or ``\\r\\n``; a last line without an end counts; a byte order mark is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uer.errors import ConfigError, DataError, did_you_mean

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


class Parsed(NamedTuple):
    """The text of a block.

    Args:
        texts: S sentences in their order.
        document_starts: int64, ascending numbers (0 … S) of the sentences before which a document
            begins; the same number may stand there more than once.
        columns: values by name, one per document start.
        blank_lines: how many lines held no text.
    """

    texts: list[str]
    document_starts: np.ndarray
    columns: dict[str, np.ndarray]
    blank_lines: int


class CorpusFormat(NamedTuple):
    """How lines become documents.

    Args:
        shape: what the format expects, for people.
        parse: turns the lines of a block into documents.
    """

    shape: str
    parse: Callable[[list[str]], Parsed]


class _WrongLineError(Exception):
    """A line that does not have its format's shape; the number counts from the block's first."""

    def __init__(self, number: int, message: str) -> None:
        self.number, self.message = number, message
        super().__init__(message)


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
        return FORMATS[corpus_format].parse(lines)
    except _WrongLineError as error:
        line = _line_number(block.path, _read(block)[0]) + error.number
        shape = FORMATS[corpus_format].shape
        message = f"{error.message}; a corpus of format '{corpus_format}' has {shape}."
        raise DataError(message, block.path, line) from error


def require_format(name: str) -> None:
    """Refuse an unknown format.

    Raises:
        ConfigError: no format has this name.
    """
    if name not in FORMATS:
        raise ConfigError(
            [
                f"no corpus format is called '{name}'{did_you_mean(name, FORMATS)} "
                f"Known: {', '.join(FORMATS)}."
            ]
        )


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


def _parse_sentences(lines: list[str]) -> Parsed:
    """One sentence per line; blank lines stand between documents."""
    texts: list[str] = []
    starts: list[int] = []
    for line in lines:
        if line.strip():
            texts.append(line)
        else:
            starts.append(len(texts))
    return Parsed(texts, np.array(starts, np.int64), {}, len(starts))


def _parse_lines(lines: list[str]) -> Parsed:
    """One document per line."""
    texts = [line for line in lines if line.strip()]
    return Parsed(texts, np.arange(len(texts)), {}, len(lines) - len(texts))


def _parse_labelled(lines: list[str]) -> Parsed:
    """A label, then one or two sentences."""
    texts: list[str] = []
    starts: list[int] = []
    labels: list[int] = []
    blank = 0
    for number, line in enumerate(lines):
        if not line.strip():
            blank += 1
            continue
        label, *sentences = line.split("\t")
        _require_labelled(number, label, sentences)
        starts.append(len(texts))
        labels.append(int(label))
        texts += sentences
    columns = {"label": np.array(labels, np.int64)}
    return Parsed(texts, np.array(starts, np.int64), columns, blank)


def _require_labelled(number: int, label: str, sentences: list[str]) -> None:
    # 18 digits fit into an int64.
    if not (label.isascii() and label.isdigit() and len(label) <= 18):
        raise _WrongLineError(number, f"the label {label[:40]!r} is not one of 0, 1, 2, …")
    if len(sentences) not in (1, 2):
        raise _WrongLineError(number, f"the line has {len(sentences) + 1} fields")
    if not all(sentence.strip() for sentence in sentences):
        raise _WrongLineError(number, "the line has an empty text")


FORMATS = {
    "sentences": CorpusFormat(
        "one sentence per line and a blank line between documents", _parse_sentences
    ),
    "lines": CorpusFormat("one document per line", _parse_lines),
    "labelled": CorpusFormat(
        "'label<TAB>text' or 'label<TAB>text<TAB>second text' in each line, without a header",
        _parse_labelled,
    ),
}
