"""Files that tokenizers are made from, with exact errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from uer.errors import DataError

VOCABULARY = "vocab.txt"


class File(NamedTuple):
    """A file that a tokenizer is made from, as it is saved.

    Args:
        name: its name in a saved folder.
        content: its bytes; equal tokenizers have equal ones.
    """

    name: str
    content: bytes


def vocabulary_file(vocabulary: Iterable[str]) -> File:
    """A vocabulary as it is saved: a token per line."""
    return File(VOCABULARY, "".join(f"{token}\n" for token in vocabulary).encode("utf-8"))


def read_vocabulary(path: str | Path) -> list[str]:
    """Tokens of a vocabulary file, in the order of their ids.

    A file ``….json`` is a map of tokens to ids. In others a token is the first field of its line,
    as in the predecessors' vocabularies with counts behind the token. Fields end at a blank, tab or
    carriage return only: other white space (U+2028 in Google's Chinese vocabulary) is a token.

    Raises:
        DataError: the file cannot be read, is not UTF-8, has an empty or repeated line, or is no
            map of tokens to ids from 0.
    """
    if Path(path).suffix == ".json":
        return _read_ids(path)
    content = read_utf8(Path(path)).removesuffix("\n")
    if not content:
        raise DataError("the vocabulary is empty.", path)
    seen: dict[str, int] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        token = re.split("[ \t\r]", line.lstrip(" \t\r"), maxsplit=1)[0]
        if not token:
            raise DataError("this line holds no token; remove it or name a token.", path, number)
        if token in seen:
            earlier = seen[token]
            raise DataError(f"the token {token!r} stands in line {earlier} already.", path, number)
        seen[token] = number
    return list(seen)


def _read_ids(path: str | Path) -> list[str]:
    """Tokens of a map of tokens to ids."""
    stored: Any = read_json(path)
    numbers = list(stored.values()) if isinstance(stored, dict) else []
    if not numbers or not all(type(number) is int for number in numbers):
        raise DataError('expected a map of tokens to ids, as {"the": 0}.', path)
    if sorted(numbers) != list(range(len(numbers))):
        raise DataError(f"the ids of its {len(numbers)} tokens are not 0, 1, 2, …", path)
    return sorted(stored, key=stored.__getitem__)


def read_special_tokens(path: str | Path) -> dict[str, str | None]:
    """Special tokens by role from a JSON file (``{"pad_token": "<pad>", …}`` or ``{"pad": …}``).

    A role is dropped by null. A token may be written as Hugging Face does, ``{"content": …}``;
    lists of further tokens name no role and are passed over.

    Raises:
        DataError: the file is not JSON, or maps something else than roles to tokens.
    """
    stored = read_json(path)
    if not isinstance(stored, dict):
        stored = {"": stored}
    found: dict[str, str | None] = {}
    for role, token in stored.items():
        name = token.get("content") if isinstance(token, dict) else token
        if isinstance(name, list) and role:
            continue
        if not isinstance(name, str) and (name is not None or isinstance(token, dict)):
            raise DataError('expected a map of roles to tokens, as {"pad_token": "[PAD]"}.', path)
        found[role.removesuffix("_token")] = name
    return found


def read_json(path: str | Path) -> Any:
    """Content of a JSON file.

    Raises:
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_utf8(Path(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"this is not JSON: {error.msg}.", path, error.lineno) from error


def read_bytes(path: str | Path) -> bytes:
    """Content of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}.", path) from error


def read_utf8(path: Path) -> str:
    """Text of a file without its byte order mark.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError("this line is not UTF-8; convert the file.", path, line) from error
