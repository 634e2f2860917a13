"""ByT5's tokenizer: every byte of UTF-8 is a token.

The ids are those of ``transformers``' ByT5Tokenizer: three special tokens, the bytes, the
sentinels, whose numbers ascend.
Source: Xue et al. 2021, https://arxiv.org/abs/2105.13626
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from uer.errors import ConfigError
from uer.tokenizers.base import Encoded, ExtraIds, SpecialTokens, Tokenizer, code_points

_FIRST = ("<pad>", "</s>", "<unk>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_DEFAULTS = {"pad": "<pad>", "unk": "<unk>", "sep": "</s>", "eos": "</s>"}
_IS_BYTE = re.compile("<0x([0-9A-F]{2})>")


class ByteTokenizer(Tokenizer):
    """ByT5's tokenizer: every byte of UTF-8 is a token; it needs no file."""

    def __init__(self, *, extra_ids: ExtraIds = 125, special_tokens: SpecialTokens = None) -> None:
        if extra_ids < 0:
            raise ConfigError([f"extra_ids: {extra_ids} is negative."])
        super().__init__(
            vocabulary=[*_FIRST, *_BYTES, *(f"<extra_id_{n}>" for n in range(extra_ids))],
            source="the tokenizer 'byte'",
            files={},
            special_tokens=special_tokens,
            options={"extra_ids": extra_ids},
            defaults=_DEFAULTS,
            required=(),
        )
        self._space = np.isin(np.arange(256), np.frombuffer(b" \t\n\v\f\r", np.uint8))

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`; a word starts behind white space."""
        points = code_points("".join(texts))
        # Bytes of each character: UTF-8 grows at these code points.
        sizes = 1 + (points[:, None] >= np.array([0x80, 0x800, 0x10000])).sum(axis=1)
        content = np.frombuffer("".join(texts).encode("utf-8"), np.uint8)
        characters = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        text_ends = np.cumsum(characters)
        lengths = ends[text_ends] - ends[text_ends - characters]
        space = self._space[content]
        starts = ~space
        starts[1:] &= space[:-1]
        starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        places = None
        if offsets:
            inside = np.arange(len(points)) - np.repeat(text_ends - characters, characters)
            places = np.repeat(inside, sizes)
        return Encoded(content.astype(np.uint32) + len(_FIRST), lengths, starts, places)

    def join(self, tokens: list[str]) -> str:
        """The bytes, read as UTF-8; what is none is left out."""
        found = (_IS_BYTE.fullmatch(token) for token in tokens)
        parts = [
            bytes([int(match[1], 16)]) if match else token.encode("utf-8")
            for token, match in zip(tokens, found, strict=True)
        ]
        return b"".join(parts).decode("utf-8", errors="ignore")
