"""Every character is a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from uer.errors import UserError
from uer.tokenizers._files import read_vocabulary, vocabulary_file
from uer.tokenizers.base import (
    Encoded,
    SpecialTokens,
    Tokenizer,
    VocabPath,
    code_points,
    require_unknown,
)


class CharTokenizer(Tokenizer):
    """Every character is a token and a word; case is kept, white space at the ends is not.

    A blank is no line of a vocabulary; where texts are to be spelt with their blanks, as in speech
    recognition, another token stands for it.
    """

    def __init__(
        self,
        *,
        vocab_path: VocabPath,
        special_tokens: SpecialTokens = None,
        word_delimiter: Annotated[
            str | None, "token that stands for a blank (wav2vec 2.0: |); by default it is unknown"
        ] = None,
    ) -> None:
        vocabulary = read_vocabulary(vocab_path)
        if word_delimiter is not None and word_delimiter not in vocabulary:
            raise UserError(
                f"{vocab_path}: the vocabulary lacks the word_delimiter {word_delimiter!r}; name a "
                "token of it."
            )
        self.delimiter = word_delimiter
        super().__init__(
            vocabulary=vocabulary,
            source=vocab_path,
            files={"vocab_path": vocabulary_file(vocabulary)},
            special_tokens=special_tokens,
            options={} if word_delimiter is None else {"word_delimiter": word_delimiter},
        )
        require_unknown(self)
        self._table = np.full(0x110000, self.special["unk"], np.uint32)
        special = set(self.special_ids.tolist())
        for token, number in self._ids.items():
            if len(token) == 1 and number not in special:
                self._table[ord(token)] = number
        if word_delimiter is not None:
            self._table[ord(" ")] = self._ids[word_delimiter]

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        stripped = [text.strip() for text in texts]
        ids = self._table[code_points("".join(stripped))]
        lengths = np.fromiter(map(len, stripped), np.int64, len(stripped))
        return Encoded(
            ids, lengths, np.ones(len(ids), bool), _offsets(texts, lengths) if offsets else None
        )

    def join(self, tokens: list[str]) -> str:
        """See `Tokenizer.join`."""
        return "".join(" " if token == self.delimiter else token for token in tokens)


def _offsets(texts: Sequence[str], lengths: np.ndarray) -> np.ndarray:
    """int64 [T] how far each character stands from the beginning of its text."""
    stripped = np.array([len(text) - len(text.lstrip()) for text in texts], np.int64)
    before = np.cumsum(lengths) - lengths
    # White space alone has no characters left, so what stands before its end does not matter.
    return np.arange(lengths.sum()) + np.repeat(stripped - before, lengths)
