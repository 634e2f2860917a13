"""A store made of lists, with what the data path asks of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from uer.builder import Planner
from uer.data.ragged import gather_sides
from uer.processors.base import Processor

PAD, CLS, SEP, MASK, UNK = 0, 1, 2, 3, 4
SPECIAL = (PAD, CLS, SEP, MASK, UNK)
VOCAB = 100
MARKS = {"pad_id": PAD, "cls_id": CLS, "sep_id": SEP}
SENTINELS = list(range(VOCAB, VOCAB + 30))  # no text has these
FACTS = {
    **MARKS,
    "mask_id": MASK,
    "vocab_size": VOCAB,
    "special_ids": SPECIAL,
    "sentinel_ids": SENTINELS,
}


def make_processor(name: str, *, facts=FACTS, **keys):
    """A processor by name, with the facts of this file's vocabulary, or others."""
    planner = Planner({"data_processor": name, **keys})
    plan = planner.choice("data_processor", Processor)
    planner.finish()
    return plan.build(facts)


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
    media: dict[str, object] = field(default_factory=dict)

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


def pair_store(pairs, *, two_sides: bool = False) -> FakeStore:
    """Pairs of texts, in one side or in two."""
    if not two_sides:
        return store_of(pairs)
    sides = [store_of([[pair[at]] for pair in pairs]).sides["src"] for at in (0, 1)]
    return FakeStore({"src": sides[0], "tgt": sides[1]})


def prepare_all(processor, store, draw, which=None):
    """(instances, prepared) of some or all instances of an epoch."""
    instances = processor.index(store, draw)
    which = np.arange(len(instances)) if which is None else np.asarray(which)
    return instances, processor.prepare(gather_sides(store, instances, which), draw, instances)


def texts_of(ragged) -> list[list[int]]:
    """The ids of every instance."""
    return [part.tolist() for part in np.split(ragged.ids, ragged.offsets[1:-1])]


def spoken(prepared, target="lm") -> list[list[tuple[int, int]]]:
    """Of every instance what is predicted: (column, token)."""
    side, index, value = prepared.token_labels[target]
    ragged = prepared.sides[side]
    owner = np.searchsorted(ragged.offsets, index, side="right") - 1
    said = [[] for _ in range(len(ragged))]
    for row, place, token in zip(owner, index - ragged.offsets[owner], value, strict=True):
        said[row].append((int(place), int(token)))
    return said


def decoded(prepared) -> list[tuple[list[int], list[int], list[int]]]:
    """(source, decoder input, labels) of every instance; every decoder input has a label."""
    found = []
    for source, read, said in zip(
        texts_of(prepared.sides["src"]),
        texts_of(prepared.sides["tgt"]),
        spoken(prepared),
        strict=True,
    ):
        assert [column for column, _ in said] == list(range(len(read)))
        labels = [token for _, token in said]
        assert read[1:] == labels[:-1]
        found.append((source, read, labels))
    return found
