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
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from uer.errors import DataError, UserError
from uer.registry import Registry
from uer.tokenizers._files import File
from uer.tokenizers._files import read_special_tokens as read_special_tokens
from uer.tokenizers._files import read_vocabulary as read_vocabulary
from uer.tokenizers._special_tokens import (
    BERT_TOKENS,
    ROLES,
    choose_roles,
    number_sentinels,
)

VocabPath = Annotated[
    str, "vocabulary file: one token per line, the line's number from 0 is its id"
]
SpmModelPath = Annotated[str, "sentencepiece model (a .model file)"]
ExtraIds = Annotated[int, "how many sentinels <extra_id_0>, <extra_id_1>, … stand behind the rest"]
SpecialTokens = Annotated[
    dict[str, str | None] | None,
    "special tokens by role (pad, unk, cls, sep, mask, bos, eos, sentinel: the first of them) "
    "that differ from the family's; null: there is none",
]

DESCRIPTION = "uer_tokenizer.json"
SPACE_MARK = "▁"  # what sentencepiece writes for a blank
# What BERT's normaliser (in the Rust library) sets off as Chinese characters.
CHINESE = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)


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

    A part's constructor is keyword-only. Its parameters are paths of files, ``special_tokens``, and
    plain values; it hands on the files and the values under the names of its parameters.

    Args:
        vocabulary: token of each id.
        source: where it was read, for messages.
        files: what `save` writes and `load` gives back, by the parameter that takes its path.
        special_tokens: token by role as the user gave it; see `ROLES`.
        options: whatever else decides the ids.
        defaults: the family's special tokens.
        required: roles that must be there unless the user drops them.

    Attributes:
        vocabulary: token of each id.
        special_tokens: token by role; only the roles that exist.
        special: id by role.
        sentinel_ids: of the sentinels in the order of their numbers, wherever they stand.
        special_ids: int64, sorted; the ids of all roles and all sentinels.

    Raises:
        UserError: the vocabulary lacks a special token, or there is no such role.
    """

    def __init__(
        self,
        *,
        vocabulary: Sequence[str],
        source: str | Path,
        files: Mapping[str, File],
        special_tokens: Mapping[str, str | None] | None,
        options: Mapping[str, Any],
        defaults: Mapping[str, str] = BERT_TOKENS,
        required: Iterable[str] = tuple(BERT_TOKENS),
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.files, self.options = dict(files), dict(options)
        self._ids = {token: number for number, token in enumerate(self.vocabulary)}
        self.special_tokens = choose_roles(
            defaults, special_tokens or {}, self._ids, required=set(required), source=source
        )
        self.special = {role: self._ids[token] for role, token in self.special_tokens.items()}
        first = self.special_tokens.get("sentinel")
        self.sentinel_ids = number_sentinels(first, self._ids) if first else []
        self.special_ids = np.unique(
            np.array([*self.special.values(), *self.sentinel_ids], np.int64)
        )

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
        hidden = set(self.special_ids.tolist()) - {self.unknown}
        return self.join(self.tokens(number for number in ids if int(number) not in hidden))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, special ones included."""
        return [self.vocabulary[int(number)] for number in ids]

    @property
    def kind(self) -> str:
        """The name under which the registry knows this tokenizer: the stem of its file."""
        return type(self).__module__.rpartition(".")[2].removeprefix("uer_plugin_")

    @property
    def unknown(self) -> int | None:
        """Id of the token for what is not known; None where another role has the same."""
        others = {number for role, number in self.special.items() if role != "unk"}
        number = self.special.get("unk")
        return None if number in others else number

    @property
    def vocab_size(self) -> int:
        """V, how many ids there are."""
        return len(self.vocabulary)

    def roles(self) -> dict[str, str | None]:
        """The special token of every role, None where there is none."""
        return {role: self.special_tokens.get(role) for role in ROLES}

    def facts(self) -> dict[str, Any]:
        """What models and processors ask for: ``vocab_size``, ``special_ids``, ``pad_id``, …

        Only the roles that exist have an id, and ``sentinel_ids`` is there if there is a sentinel.
        """
        ids = {f"{role}_id": number for role, number in self.special.items()}
        sentinels = {"sentinel_ids": self.sentinel_ids} if self.sentinel_ids else {}
        return {
            "vocab_size": self.vocab_size,
            "special_ids": self.special_ids.tolist(),
            **ids,
            **sentinels,
        }

    def fingerprint(self) -> str:
        """sha256 of everything that decides the ids; two equal ones tokenise alike."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        files = {key: hashlib.sha256(file.content).hexdigest() for key, file in self.files.items()}
        content = [self.kind, self.options, self.special_tokens, files]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write what `load` needs into a folder; equal tokenizers write equal bytes."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for file in self.files.values():
            (target / file.name).write_bytes(file.content)
        description = {
            "kind": self.kind,
            "files": {key: file.name for key, file in self.files.items()},
            "options": self.options,
            "special_tokens": self.roles(),
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
        paths = {key: str(Path(folder) / Path(name).name) for key, name in stored["files"].items()}
    except OSError as error:
        raise DataError(f"no saved tokenizer can be read: {error.strerror}.", source) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("this is no description of a tokenizer; save it again.", source) from error
    part: Any = tokenizers.get(kind)
    tokenizer: Tokenizer = part(special_tokens=special_tokens, **paths, **options)
    if tokenizer.fingerprint() != expected:
        raise DataError("the tokenizer was changed after it was saved; save it again.", source)
    return tokenizer


def require_unknown(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that would not know what to make of an unknown word.

    Raises:
        UserError: the role ``unk`` was dropped.
    """
    if "unk" not in tokenizer.special:
        raise UserError(
            f"special_tokens: the tokenizer '{tokenizer.kind}' needs the role 'unk' for words that "
            "are not in its vocabulary; name its token."
        )


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
