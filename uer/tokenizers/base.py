"""What every tokenizer promises: text in, one flat array of ids out.

The tokenising itself is done by well-kept libraries or by table look-ups; this file adds what a
toolkit needs around it: special tokens by role, vocabulary files with exact errors, a fingerprint
that tells whether two tokenizers give the same ids, and a folder that holds all of it.

Text is data: the literal string ``[MASK]`` in a corpus is tokenised like any other text and never
becomes the special id, so a corpus cannot inject special tokens. Instances add those by id.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from uer.errors import DataError, UserError, did_you_mean
from uer.registry import Registry

VocabPath = Annotated[
    str, "vocabulary file: one token per line, the line's number from 0 is its id"
]
SpecialTokens = Annotated[
    dict[str, str] | None,
    "special tokens by role (pad, unk, cls, sep, mask) that differ from BERT's",
]

REQUIRED = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROLES = (*REQUIRED, "sentinel", "bos", "eos")
DESCRIPTION = "uer_tokenizer.json"
VOCABULARY = "vocab.txt"


class Encoded(NamedTuple):
    """Several texts as one flat array; no special token is added.

    Args:
        ids: uint32 [T] token ids of all texts, one after the other.
        lengths: int64 [n] tokens of each text.
        word_starts: bool [T] True at the first token of a word.
        offsets: int64 [T] code point of its text where a token begins; None unless asked for.
    """

    ids: np.ndarray
    lengths: np.ndarray
    word_starts: np.ndarray
    offsets: np.ndarray | None


class Tokenizer(ABC):
    """Turns text into ids of one vocabulary.

    A part's constructor is keyword-only; beside ``vocab_path`` and ``special_tokens`` its
    parameters are plain values, which it hands on as ``options`` under their own names.

    Args:
        vocab_path: the vocabulary file.
        special_tokens: token by role, laid over BERT's; see `ROLES`.
        options: whatever else decides the ids.

    Attributes:
        vocabulary: token of each id.
        special: id by role.
        special_ids: int64, sorted; the ids of all roles.

    Raises:
        UserError: the file cannot be read, or lacks a special token.
    """

    def __init__(
        self, *, vocab_path: str, special_tokens: Mapping[str, str] | None, options: dict[str, Any]
    ) -> None:
        self.vocabulary = read_vocabulary(vocab_path)
        self.options = options
        self.special_tokens = _special_tokens(special_tokens or {})
        self._ids = {token: number for number, token in enumerate(self.vocabulary)}
        missing = [token for token in self.special_tokens.values() if token not in self._ids]
        if missing:
            raise UserError(
                f"{vocab_path}: the vocabulary lacks the special tokens {', '.join(missing)}; "
                "name its own ones with --special_tokens_path, or take another vocabulary."
            )
        self.special = {role: self._ids[token] for role, token in self.special_tokens.items()}
        self.special_ids = np.unique(np.fromiter(self.special.values(), np.int64))

    @abstractmethod
    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """Tokenise texts.

        Args:
            texts: n texts; a text may be empty.
            offsets: also say where in its text each token begins.

        Raises:
            UserError: a text holds half a surrogate pair, so it is no Unicode text.
        """

    @abstractmethod
    def join(self, tokens: list[str]) -> str:
        """Readable text of tokens, the counterpart of tokenising as far as there is one."""

    def encode(self, text: str) -> np.ndarray:
        """uint32 [T] ids of one text, without special tokens."""
        return self.encode_batch([text]).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, except the one for unknown words."""
        hidden = set(self.special_ids.tolist()) - {self.special["unk"]}
        return self.join(self.tokens(number for number in ids if int(number) not in hidden))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, special ones included."""
        return [self.vocabulary[int(number)] for number in ids]

    @property
    def kind(self) -> str:
        """The name under which the registry knows this tokenizer: the stem of its file."""
        return type(self).__module__.rpartition(".")[2].removeprefix("uer_plugin_")

    @property
    def vocab_size(self) -> int:
        """V, how many ids there are."""
        return len(self.vocabulary)

    def facts(self) -> dict[str, Any]:
        """What models and processors ask for: ``vocab_size``, ``special_ids``, ``pad_id``, …"""
        ids = {f"{role}_id": number for role, number in self.special.items()}
        return {"vocab_size": self.vocab_size, "special_ids": self.special_ids.tolist(), **ids}

    def fingerprint(self) -> str:
        """sha256 of everything that decides the ids; two equal ones tokenise alike."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        content = [self.kind, self.options, self.special_tokens, self.vocabulary]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write what `load` needs into a folder; equal tokenizers write equal bytes."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{token}\n" for token in self.vocabulary)
        (target / VOCABULARY).write_bytes(lines.encode("utf-8"))
        description = {
            "kind": self.kind,
            "options": self.options,
            "special_tokens": self.special_tokens,
            "fingerprint": self.fingerprint(),
        }
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (target / DESCRIPTION).write_text(text, encoding="utf-8")


tokenizers: Registry[Tokenizer] = Registry("tokenizer", Tokenizer, "uer.tokenizers")


def load(folder: str | Path) -> Tokenizer:
    """The tokenizer that `Tokenizer.save` wrote into a folder.

    Raises:
        DataError: the folder holds none, or its files were changed since.
        ConfigError: its kind is not known here.
    """
    source = Path(folder) / DESCRIPTION
    try:
        stored = json.loads(source.read_bytes())
        kind, options, expected = stored["kind"], stored["options"], stored["fingerprint"]
        special_tokens = stored["special_tokens"]
    except OSError as error:
        raise DataError(f"no saved tokenizer can be read: {error.strerror}.", source) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("this is no description of a tokenizer; save it again.", source) from error
    part: Any = tokenizers.get(kind)
    tokenizer: Tokenizer = part(
        vocab_path=str(Path(folder) / VOCABULARY), special_tokens=special_tokens, **options
    )
    if tokenizer.fingerprint() != expected:
        raise DataError("the tokenizer was changed after it was saved; save it again.", source)
    return tokenizer


def read_vocabulary(path: str | Path) -> list[str]:
    """Tokens of a vocabulary file, in the order of their ids.

    A token is the first field of its line, as in the predecessors' vocabularies with counts behind
    the token. Fields end at a blank, tab or carriage return only: other white space (U+2028 in
    Google's Chinese vocabulary) is a token.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has an empty or repeated line.
    """
    content = _read_utf8(Path(path)).removesuffix("\n")
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


def read_special_tokens(path: str | Path) -> dict[str, str]:
    """Special tokens by role from a JSON file (``{"pad_token": "<pad>", …}`` or ``{"pad": …}``).

    Raises:
        DataError: the file is not JSON, or maps something else than roles to tokens.
    """
    try:
        stored = json.loads(_read_utf8(Path(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"this is not JSON: {error.msg}.", path, error.lineno) from error
    if not isinstance(stored, dict) or not all(isinstance(v, str) for v in stored.values()):
        raise DataError('expected a map of roles to tokens, as {"pad_token": "[PAD]"}.', path)
    return {role.removesuffix("_token"): token for role, token in stored.items()}


def code_points(text: str) -> np.ndarray:
    """uint32 [N] code points of a text.

    Raises:
        UserError: the text holds half a surrogate pair.
    """
    try:
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError as error:
        raise UserError(
            f"the text {error.object[error.start - 10 if error.start > 10 else 0 : error.end]!r} "
            "holds half a surrogate pair, which is no Unicode character; repair its source."
        ) from error


def _special_tokens(given: Mapping[str, str]) -> dict[str, str]:
    for role in given:
        if role not in ROLES:
            raise UserError(
                f"special_tokens: there is no role '{role}'{did_you_mean(role, ROLES)} "
                f"Known: {', '.join(ROLES)}."
            )
    return {**REQUIRED, **given}


def _read_utf8(path: Path) -> str:
    """Text of a file without its byte order mark."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}.", path) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError("this line is not UTF-8; convert the file.", path, line) from error
