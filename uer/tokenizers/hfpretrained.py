"""Tokenizers as Hugging Face stores them: a ``tokenizer.json`` or the folder of a model.

The Rust library reads ``tokenizer.json``. Special tokens by role come from the files beside it. A
folder without one is read by the kind its files are for, and then *is* of that kind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tokenizers import Tokenizer as RustTokenizer

from uer.errors import DataError
from uer.tokenizers import _hf_folder, _rust
from uer.tokenizers._clip import clip_json, is_clip
from uer.tokenizers._files import File, read_bytes
from uer.tokenizers._word_starts import (
    WordStarts,
    by_blank_byte,
    by_prefix,
    by_space_mark,
    by_suffix,
)
from uer.tokenizers.base import Encoded, SpecialTokens, Tokenizer

Source = Annotated[str, "tokenizer.json, or the folder of a Hugging Face model"]
_TOKENIZER_JSON = "tokenizer.json"


class HfpretrainedTokenizer(Tokenizer):
    """Tokenizers as Hugging Face stores them: a tokenizer.json or the folder of a model."""

    def __new__(
        cls,
        *,
        vocab_path: Source,
        special_tokens: SpecialTokens = None,
    ) -> Any:
        """A tokenizer of the kind that the folder is for."""
        folder = Path(vocab_path)
        stored = (folder / _TOKENIZER_JSON).is_file() or not folder.is_dir()
        if not stored and not is_clip(folder, _hf_folder.settings(folder)):
            return _hf_folder.read(folder, special_tokens)
        return super().__new__(cls)

    def __init__(
        self,
        *,
        vocab_path: Source,
        special_tokens: SpecialTokens = None,
    ) -> None:
        given = Path(vocab_path)
        path = given / _TOKENIZER_JSON if given.is_dir() else given
        content = read_bytes(path) if path.is_file() or path == given else clip_json(given)
        self._rust = _tokenizer(content, path)
        stored: Any = json.loads(self._rust.to_str())  # says what an old file leaves out
        vocabulary = _vocabulary(self._rust)
        roles = _hf_folder.roles(path.parent)
        unknown = _unknown(stored["model"], vocabulary)
        super().__init__(
            vocabulary=vocabulary,
            source=path,
            files={"vocab_path": File(_TOKENIZER_JSON, content)},
            special_tokens=special_tokens,
            options={},
            defaults={"unk": unknown, **roles} if unknown else roles,
            required=(),
        )
        added = [one["id"] for one in stored["added_tokens"] if one.get("special")]
        self.special_ids = np.union1d(self.special_ids, np.array(added, np.int64))
        self._is_special = np.isin(np.arange(self.vocab_size), self.special_ids)
        self._starts = _word_starts(stored, self.vocabulary)
        special = {self.vocabulary[number] for number in self.special_ids}
        self._rust = _tokenizer(_only_text(stored, special), path)

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        made = _rust.encode_batch(self._rust, self._starts, texts, offsets=offsets)
        # A vocabulary of whole words has no other tokens for the text of a special one.
        if self.unknown is not None:
            made.ids[self._is_special[made.ids]] = self.unknown
        return made

    def join(self, tokens: list[str]) -> str:
        """What the file's own decoder makes of the tokens."""
        decoder = self._rust.decoder
        return decoder.decode(tokens) if decoder is not None else " ".join(tokens)


def _tokenizer(content: bytes, path: Path) -> RustTokenizer:
    try:
        return RustTokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"the tokenizers library cannot read it: {error}.", path) from error


def _vocabulary(rust: RustTokenizer) -> list[str]:
    """Token of each id; ids that the file leaves out get a name that says so."""
    known = rust.get_vocab(with_added_tokens=True)
    tokens = {number: token for token, number in known.items()}
    return [tokens.get(n, f"<no token has id {n}>") for n in range(max(tokens, default=-1) + 1)]


def _unknown(model: dict[str, Any], vocabulary: list[str]) -> str | None:
    number = model.get("unk_id")
    return model.get("unk_token") if number is None else str(vocabulary[number])


def _only_text(stored: dict[str, Any], special: set[str]) -> bytes:
    """The tokenizer's file without what is no matter of text.

    Special tokens are not looked for, nothing is put around a text, nothing cut or padded. A
    unigram model would still find special pieces by their spelling; there they get another one.
    """
    added = [one for one in stored["added_tokens"] if one["content"] not in special]
    model = dict(stored["model"])
    if model["type"] == "Unigram":
        model["vocab"] = [
            [f"\ufdd0{piece}\ufdd1" if piece in special else piece, score]
            for piece, score in model["vocab"]
        ]
    plain = {"post_processor": None, "truncation": None, "padding": None}
    return json.dumps({**stored, **plain, "added_tokens": added, "model": model}).encode("utf-8")


def _word_starts(stored: dict[str, Any], vocabulary: Sequence[str]) -> WordStarts:
    model = stored["model"]
    if model["type"] == "WordPiece":
        return by_prefix(vocabulary, model["continuing_subword_prefix"])
    if model["type"] == "WordLevel":
        return WordStarts(vocabulary, lambda _: True, lambda _: True)
    if model.get("end_of_word_suffix"):
        return by_suffix(vocabulary, model["end_of_word_suffix"])
    if '"ByteLevel"' in json.dumps([stored.get("pre_tokenizer"), stored.get("normalizer")]):
        return by_blank_byte(vocabulary)
    return by_space_mark(vocabulary)
