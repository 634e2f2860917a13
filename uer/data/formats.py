"""Corpus formats: how the lines of a file become documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from uer.data.media.references import Reference
from uer.errors import ConfigError, did_you_mean

# [n] or [n, C] values of n documents, or a list of how many each may have.
Column: TypeAlias = np.ndarray | list[np.ndarray]


class Parsed(NamedTuple):
    """The text of a block.

    Args:
        texts: S sentences in their order.
        document_starts: int64, ascending numbers (0 … S) of the sentences before which a document
            begins; the same number may stand there more than once.
        columns: values by name, one per document start.
        blank_lines: how many lines held no text.
        media: images or sounds by name, one per document start.
    """

    texts: list[str]
    document_starts: np.ndarray
    columns: Mapping[str, Column]
    blank_lines: int
    media: dict[str, list[Reference]] = {}  # noqa: RUF012 - nobody changes it


class CorpusFormat(NamedTuple):
    """How lines become documents.

    Args:
        shape: what the format expects, for people.
        parse: turns the lines of a block into documents; None: a manifest, whose rows
            `uer.data.media` reads.
        paired: every document has two texts that make sense together only: if one of them gives no
            token, neither is kept. The second may be tokenised on its own, as side ``tgt``.
        fields: of a manifest: what a row has, in order: ``label``, ``codes``, ``text``, ``image``,
            ``sound``.
    """

    shape: str
    parse: Callable[[list[str]], Parsed] | None
    paired: bool = False
    fields: tuple[str, ...] = ()

    @property
    def has_text(self) -> bool:
        """Its documents have texts, which a tokenizer is needed for."""
        return not self.fields or "text" in self.fields


class WrongLineError(Exception):
    """A line that does not have its format's shape; the number counts from the block's first."""

    def __init__(self, number: int, message: str) -> None:
        self.number, self.message = number, message
        super().__init__(message)


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
        raise WrongLineError(number, f"the label {label[:40]!r} is not one of 0, 1, 2, …")
    if len(sentences) not in (1, 2):
        raise WrongLineError(number, f"the line has {len(sentences) + 1} fields")
    if not all(sentence.strip() for sentence in sentences):
        raise WrongLineError(number, "the line has an empty text")


def _parse_pairs(lines: list[str]) -> Parsed:
    """Two texts with a tab between."""
    texts: list[str] = []
    blank = 0
    for number, line in enumerate(lines):
        if not line.strip():
            blank += 1
            continue
        fields = line.split("\t")
        if len(fields) == 1:
            raise WrongLineError(number, "the line has no tab")
        if len(fields) > 2:
            raise WrongLineError(number, f"the line has {len(fields)} fields")
        if not all(field.strip() for field in fields):
            raise WrongLineError(number, "the line has an empty text")
        texts += fields
    return Parsed(texts, np.arange(0, len(texts), 2), {}, blank)


def _parse_jsonl(lines: list[str]) -> Parsed:
    """The text of a JSON object in each line; what else the object holds is not read."""
    texts, blank = [], 0
    for number, line in enumerate(lines):
        text = _field(_object(number, line), "text", number) if line.strip() else ""
        if text.strip():
            texts.append(text)
        else:
            blank += 1
    return Parsed(texts, np.arange(len(texts)), {}, blank)


def _parse_instructions(lines: list[str]) -> Parsed:
    """What is asked (instruction, then input) and what should be answered."""
    texts: list[str] = []
    blank = 0
    for number, line in enumerate(lines):
        if not line.strip():
            blank += 1
            continue
        row = _object(number, line)
        asked = _field(row, "instruction", number) + _field(row, "input", number, "")
        answer = _field(row, "output", number)
        for name, text in (("instruction", asked), ("output", answer)):
            if not text.strip():
                raise WrongLineError(number, f"the line has an empty '{name}'")
        texts += [asked, answer]
    return Parsed(texts, np.arange(0, len(texts), 2), {}, blank)


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise WrongLineError(number, f"the line is not JSON ({error.msg})") from error
    if not isinstance(found, dict):
        raise WrongLineError(number, "the line is no JSON object")
    return found


def _field(row: dict[str, Any], name: str, number: int, default: str | None = None) -> str:
    value = row.get(name, default)
    if value is None:
        raise WrongLineError(number, f"the line has no '{name}'")
    if not isinstance(value, str):
        raise WrongLineError(number, f"'{name}' is no text")
    return value


def _manifest(*fields: str) -> CorpusFormat:
    line = "<TAB>".join(
        "path" if field in ("image", "sound", "regions") else field for field in fields
    )
    of_classes = " with a sub-folder for each class" if "label" in fields else ""
    folder = "" if {"text", "codes"} & set(fields) else f", or is a folder{of_classes}"
    shape = (
        f"'{line}' in each line, with paths relative to its folder, or the same in JSON lines or "
        f"Parquet, or tar files{folder}"
    )
    return CorpusFormat(shape, None, fields=fields)


FORMATS = {
    "sentences": CorpusFormat(
        "one sentence per line and a blank line between documents", _parse_sentences
    ),
    "lines": CorpusFormat("one document per line", _parse_lines),
    "labelled": CorpusFormat(
        "'label<TAB>text' or 'label<TAB>text<TAB>second text' in each line, without a header",
        _parse_labelled,
    ),
    "pairs": CorpusFormat("'text<TAB>target text' in each line", _parse_pairs, paired=True),
    "jsonl": CorpusFormat("""a JSON object {"text": "…"} in each line""", _parse_jsonl),
    "instructions": CorpusFormat(
        """a JSON object {"instruction": "…", "input": "…", "output": "…"} in each line, where """
        "input may be missing",
        _parse_instructions,
        paired=True,
    ),
    "images": _manifest("image"),
    "labelled_images": _manifest("label", "image"),
    "captioned_images": _manifest("text", "image"),
    "captioned_regions": _manifest("text", "regions"),
    "sounds": _manifest("sound"),
    "labelled_sounds": _manifest("label", "sound"),
    "transcribed_sounds": _manifest("text", "sound"),
    "coded_sounds": _manifest("codes", "sound"),
}
