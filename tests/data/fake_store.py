"""A store made of lists, with what the data path asks of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from uer.builder import Planner
from uer.processors.base import Processor

PAD, CLS, SEP, MASK, UNK = 0, 1, 2, 3, 4
SPECIAL = (PAD, CLS, SEP, MASK, UNK)
VOCAB = 100
MARKS = {"pad_id": PAD, "cls_id": CLS, "sep_id": SEP}
FACTS = {**MARKS, "mask_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL}


def make_processor(name: str, **keys):
    """A processor by name, with the facts of this file's vocabulary."""
    planner = Planner({"data_processor": name, **keys})
    plan = planner.choice("data_processor", Processor)
    planner.finish()
    return plan.build(FACTS)


@dataclass
class FakeSide:
    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    word_starts: np.ndarray

    def starts(self, indices: np.ndarray) -> np.ndarray:
        return self.word_starts[indices]


@dataclass
class FakeStore:
    sides: dict[str, FakeSide]
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sides["src"].documents) - 1


def store_of(documents: Sequence[Sequence[Sequence[int]]], **columns: np.ndarray) -> FakeStore:
    """Documents of sentences of tokens; words have one or two tokens, by the token's parity."""
    sentences = [sentence for document in documents for sentence in document]
    tokens = np.array([token for sentence in sentences for token in sentence], np.uint16)
    side = FakeSide(
        tokens,
        np.cumsum([0, *map(len, sentences)]).astype(np.int64),
        np.cumsum([0, *map(len, documents)]).astype(np.int64),
        tokens % 2 == 0,
    )
    return FakeStore({"src": side}, columns)


def store_of_lengths(documents: Sequence[Sequence[int]], seed: int = 0) -> FakeStore:
    """Documents of sentences of so many random ordinary tokens."""
    random = np.random.default_rng(seed)
    return store_of(
        [[random.integers(len(SPECIAL), VOCAB, n).tolist() for n in d] for d in documents]
    )


def random_store(documents: int, seed: int = 0, longest: int = 30) -> FakeStore:
    """A corpus of documents of 1 … 8 sentences of 1 … ``longest`` tokens."""
    random = np.random.default_rng(seed)
    lengths = [
        random.integers(1, longest + 1, random.integers(1, 9)).tolist() for _ in range(documents)
    ]
    return store_of_lengths(lengths, seed)
