"""BERT's tokenising at the speed of table look-ups.

BERT splits text into words by a rule that looks at one character at a time: white space separates,
a Chinese character or a punctuation mark is a word by itself, everything else belongs to the run it
stands in. (Unicode normalisation moves combining marks only inside such a run, for no separator and
no stand-alone character is a combining mark.) So words can be found with a table over code points,
and each *distinct* word is handed to the Rust tokenizer once; its ids are remembered. Nothing of
the rule is repeated here: the table is filled by asking the Rust normaliser about each new
character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from uer.tokenizers.base import code_points

UNSEEN, SEPARATOR, ALONE, INNER = range(4)
HELD_WORDS, HELD_CHARACTERS = 1 << 19, 1 << 24


class Pieces(NamedTuple):
    """Tokens of several texts.

    Args:
        ids: uint32 [T].
        lengths: int64 [n] tokens of each text.
        offsets: int64 [T] code point of its text where a token begins; None unless asked for.
    """

    ids: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray | None


class WordCache:
    """Words seen so far, with their ids.

    Args:
        rust: tokenizer with BERT's normaliser and pre-tokeniser, without added tokens.
        held_words: the words are forgotten when there are more of them, to bound the memory,
        held_characters: or when they are longer than this together.
    """

    def __init__(
        self,
        rust: Tokenizer,
        held_words: int = HELD_WORDS,
        held_characters: int = HELD_CHARACTERS,
    ) -> None:
        self._rust = rust
        self._most = held_words, held_characters
        self._kind = np.full(0x110000, UNSEEN, np.uint8)
        self._forget()

    def encode(self, texts: Sequence[str], *, offsets: bool) -> Pieces:
        """Tokenise texts; equal to the Rust tokenizer text by text."""
        if len(self._numbers) > self._most[0] or self._held > self._most[1]:
            self._forget()
        points = code_points("\n".join(texts) + "\n")
        kind = self._kinds(points)
        places, words = self._words(points, kind)
        counts = self._counts[words]
        ends = np.cumsum(counts)
        # Where the tokens of each word stand in the memory, minus where they go.
        shift = np.repeat(self._begins[words] - (ends - counts), counts)
        source = shift + np.arange(len(shift))
        sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        tokens_before = np.concatenate([np.zeros(1, np.int64), ends])
        lengths = np.diff(tokens_before[np.searchsorted(places, bounds)])
        if not offsets:
            return Pieces(self._ids[source], lengths, None)
        inside = np.repeat(places, counts) - np.repeat(bounds[:-1], lengths)
        return Pieces(self._ids[source], lengths, inside + self._offsets[source])

    def _kinds(self, points: np.ndarray) -> np.ndarray:
        """uint8 [N] the kind of each character; new ones are looked up and remembered."""
        kind = self._kind[points]
        unseen = np.unique(points[kind == UNSEEN])
        if len(unseen):
            self._kind[unseen] = [self._ask(chr(point)) for point in unseen.tolist()]
            kind = self._kind[points]
        return kind

    def _ask(self, character: str) -> int:
        """What becomes of a character between two letters."""
        normal = self._rust.normalizer.normalize_str(f"a{character}a")
        words = [word for word, _ in self._rust.pre_tokenizer.pre_tokenize_str(normal)]
        if len(words) == 1:
            return INNER
        return SEPARATOR if words == ["a", "a"] else ALONE

    def _words(self, points: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [W] where each word begins among the characters, and its number."""
        inner, alone = kind == INNER, kind == ALONE
        after_inner = np.concatenate([np.zeros(1, bool), inner[:-1]])
        run_ends = after_inner & ~inner
        places = np.flatnonzero(alone | (inner & ~after_inner))
        runs = np.where(inner, points, ord(" "))[inner | run_ends].tobytes().decode("utf-32-le")
        spelt = runs.split(" ")[:-1]
        single = alone[places]
        characters = points[places[single]]
        new = set(spelt) - self._numbers.keys()
        new.update(map(chr, np.unique(characters[self._alone[characters] < 0]).tolist()))
        if new:
            self._learn(sorted(new))
        words = np.empty(len(places), np.int64)
        words[single] = self._alone[characters]
        words[~single] = np.fromiter(map(self._numbers.__getitem__, spelt), np.int64, len(spelt))
        return places, words

    def _learn(self, words: list[str]) -> None:
        """Ask the Rust tokenizer for new words, in one batch."""
        found = self._rust.encode_batch(words, add_special_tokens=False)
        counts = np.array([len(one) for one in found], np.int64)
        begins = len(self._ids) + np.cumsum(counts) - counts
        for number, word in enumerate(words, start=len(self._counts)):
            self._numbers[word] = number
            if len(word) == 1:
                self._alone[ord(word)] = number
        self._held += sum(map(len, words))
        self._counts = np.concatenate([self._counts, counts])
        self._begins = np.concatenate([self._begins, begins])
        ids = np.array([number for one in found for number in one.ids], np.uint32)
        self._ids = np.concatenate([self._ids, ids])
        offsets = np.array([begin for one in found for begin, _ in one.offsets], np.int64)
        self._offsets = np.concatenate([self._offsets, offsets])

    def _forget(self) -> None:
        """Start with no words. A word's number leads to its count and first place in the ids."""
        self._held = 0
        self._numbers: dict[str, int] = {}
        self._alone = np.full(0x110000, -1, np.int32)
        self._counts = np.zeros(0, np.int64)
        self._begins = np.zeros(0, np.int64)
        self._ids = np.zeros(0, np.uint32)
        self._offsets = np.zeros(0, np.int64)
