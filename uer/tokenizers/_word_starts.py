"""Where words start in a sequence of tokens, as look-ups in two tables.

Tokenizers that keep blanks inside their tokens mark them: sentencepiece writes ``▁``, byte-level
BPE ``Ġ``. A token that begins with the mark starts a word, and so does the first of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from uer.tokenizers.base import CHINESE, SPACE_MARK

BLANK_BYTE = "Ġ"  # a blank in byte-level tokens
_OTHER_SPACE_BYTES = tuple("ĉĊċČč")  # tab, line feed, vertical tab, form feed, carriage return


class WordStarts:
    """Says which tokens start a word.

    Args:
        tokens: of the vocabulary, by id.
        begins: whether a token starts a word wherever it stands.
        closes: whether the token behind it starts a word, whatever it is.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        begins: Callable[[str], bool],
        closes: Callable[[str], bool],
    ) -> None:
        self._begins = np.fromiter(map(begins, tokens), bool, len(tokens))
        self._closes = np.fromiter(map(closes, tokens), bool, len(tokens))

    def __call__(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """bool [T] whether each token starts a word.

        Args:
            ids: [T] of several texts, one after the other.
            lengths: int64 [n] tokens of each text.
        """
        starts = self._begins[ids]
        starts[1:] |= self._closes[ids[:-1]]
        starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        return starts


def by_space_mark(tokens: Sequence[str]) -> WordStarts:
    """Of sentencepiece's tokens: at ▁, and at and behind Chinese characters, as in BERT."""
    begin, end = re.compile(f"[{SPACE_MARK}{CHINESE}]"), re.compile(f"[{CHINESE}]$")
    return WordStarts(tokens, lambda t: bool(begin.match(t)), lambda t: bool(end.search(t)))


def by_blank_byte(tokens: Sequence[str]) -> WordStarts:
    """Of byte-level tokens: at Ġ and other white space, and behind the latter."""
    space = (BLANK_BYTE, *_OTHER_SPACE_BYTES)
    return WordStarts(tokens, lambda t: t.startswith(space), lambda t: t.endswith(space[1:]))


def by_prefix(tokens: Sequence[str], continues: str) -> WordStarts:
    """Of WordPiece's tokens: wherever the prefix of continuing pieces is not."""
    return WordStarts(tokens, lambda t: not t.startswith(continues), lambda _: False)


def by_suffix(tokens: Sequence[str], ends: str) -> WordStarts:
    """Of CLIP's tokens: behind those that carry the end of a word."""
    return WordStarts(tokens, lambda _: False, lambda t: t.endswith(ends))
