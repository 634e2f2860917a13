"""Text that is segmented already: tokens stand between white space."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from uer.tokenizers._files import read_vocabulary, vocabulary_file
from uer.tokenizers.base import (
    Encoded,
    SpecialTokens,
    Tokenizer,
    VocabPath,
    code_points,
    require_unknown,
)


class SpaceTokenizer(Tokenizer):
    """Tokens stand between white space; a run of it counts once, and every token is a word."""

    def __init__(self, *, vocab_path: VocabPath, special_tokens: SpecialTokens = None) -> None:
        vocabulary = read_vocabulary(vocab_path)
        super().__init__(
            vocabulary=vocabulary,
            source=vocab_path,
            files={"vocab_path": vocabulary_file(vocabulary)},
            special_tokens=special_tokens,
            options={},
        )
        require_unknown(self)
        special = set(self.special_ids.tolist())
        self._words = {word: n for word, n in self._ids.items() if n not in special}

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        code_points("".join(texts))  # refuses what is no Unicode text
        words = [text.split() for text in texts]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        unknown, find = self.special["unk"], self._words.get
        found = (find(word, unknown) for sentence in words for word in sentence)
        ids = np.fromiter(found, np.uint32, lengths.sum())
        return Encoded(ids, lengths, np.ones(len(ids), bool), _offsets(texts) if offsets else None)

    def join(self, tokens: list[str]) -> str:
        """See `Tokenizer.join`."""
        return " ".join(tokens)


def _offsets(texts: Sequence[str]) -> np.ndarray:
    """int64 [T] where each word begins in its text."""
    return np.array(
        [word.start() for text in texts for word in re.finditer(r"\S+", text)], np.int64
    )
