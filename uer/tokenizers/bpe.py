"""GPT-2's tokenizer: pairs of bytes merged in the order in which they were learnt.

Every byte is a token, so no text is unknown and decoding gives the text back. The ids are those of
``transformers``' GPT2Tokenizer with ``split_special_tokens=True``.
Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from tokenizers import Tokenizer as RustTokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from uer.errors import DataError
from uer.tokenizers import _rust
from uer.tokenizers._files import File, read_utf8, read_vocabulary
from uer.tokenizers._word_starts import by_blank_byte
from uer.tokenizers.base import Encoded, SpecialTokens, Tokenizer

_END = "<|endoftext|>"
_ROLES = ("pad", "unk", "cls", "sep", "bos", "eos")


class BpeTokenizer(Tokenizer):
    """GPT-2's tokenizer: pairs of bytes merged in the order in which they were learnt."""

    def __init__(
        self,
        *,
        vocab_path: Annotated[
            str, "vocabulary: a text file with a token per line, or JSON with the id of each"
        ],
        merges_path: Annotated[str, "pairs to merge, one per line, in their order"],
        add_prefix_space: Annotated[bool, "put a blank before every text"] = False,
        special_tokens: SpecialTokens = None,
    ) -> None:
        vocabulary = read_vocabulary(vocab_path)
        ids = {token: number for number, token in enumerate(vocabulary)}
        merges = _read_merges(merges_path, ids)
        _require_bytes(ids, vocab_path)
        super().__init__(
            vocabulary=vocabulary,
            source=vocab_path,
            files={"vocab_path": _json(ids), "merges_path": _lines(merges)},
            special_tokens=special_tokens,
            options={"add_prefix_space": add_prefix_space},
            defaults={**dict.fromkeys(_ROLES, _END), "mask": "<mask>"},
            required=(),
        )
        self._rust = RustTokenizer(BPE(ids, merges))
        self._rust.pre_tokenizer = ByteLevel(add_prefix_space=add_prefix_space)
        self._bytes = ByteLevelDecoder()
        self._starts = by_blank_byte(vocabulary)

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        return _rust.encode_batch(self._rust, self._starts, texts, offsets=offsets)

    def join(self, tokens: list[str]) -> str:
        """The bytes of the tokens, read as UTF-8."""
        return self._bytes.decode(tokens)


def _read_merges(path: str, ids: Mapping[str, int]) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(read_utf8(Path(path)).split("\n"), start=1):
        pair = line.rstrip("\r").split(" ")
        if pair == [""] or (number == 1 and line.startswith("#version")):
            continue
        if len(pair) != 2 or not all(pair):
            raise DataError(
                f"expected two tokens with a blank between, not {line!r}.", path, number
            )
        for token in (*pair, "".join(pair)):
            if token not in ids:
                raise DataError(
                    f"the vocabulary has no token {token!r}; give the merges that belong to it.",
                    path,
                    number,
                )
        merges.append((pair[0], pair[1]))
    if not merges:
        raise DataError("the file holds no merges.", path)
    return merges


def _require_bytes(ids: Mapping[str, int], path: str) -> None:
    missing = sorted(set(ByteLevel.alphabet()) - ids.keys())
    if missing:
        raise DataError(
            f"the vocabulary lacks {len(missing)} of the 256 byte tokens, {missing[0]!r} among "
            "them, so it is none of byte-level BPE.",
            path,
        )


def _json(ids: Mapping[str, int]) -> File:
    return File("vocab.json", json.dumps(ids, ensure_ascii=False).encode("utf-8"))


def _lines(merges: Sequence[tuple[str, str]]) -> File:
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    return File("merges.txt", f"#version: 0.2\n{lines}".encode())
