"""Where instances start and end: arithmetic on sentence offsets, never on tokens.

The question behind every objective is the same: from a possible start, where does the instance end
and the next one begin? Computed for *every* possible start at once, the sequential walk over a
document becomes a search for the starts that can be reached, and that takes logarithmically many
array operations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from uer.data.instances import Bools, Ints, TokenSide


class Sentences(NamedTuple):
    """Sentences of a store, the over-long ones cut into several.

    Args:
        offsets: int64 [S+1] where each starts in the tokens.
        documents: int64 [D+1] where each document starts in them.
    """

    offsets: Ints
    documents: Ints

    def owners(self) -> Ints:
        """[S] the document of each sentence."""
        return np.repeat(np.arange(len(self.documents) - 1), np.diff(self.documents))


def cut_sentences(side: TokenSide, longest: int, size: int) -> Sentences:
    """Cut sentences that no instance can hold, so that none of their tokens is lost.

    Args:
        side: the store's tokens.
        longest: sentences of so many tokens stay whole.
        size: longer ones become pieces of this size; the last takes what is left.
    """
    offsets = np.asarray(side.sentences, np.int64)
    documents = np.asarray(side.documents, np.int64)
    lengths = np.diff(offsets)
    parts = np.where(lengths > longest, -(-lengths // size), 1)
    before = np.concatenate([[0], np.cumsum(parts)])
    if before[-1] == len(lengths):
        return Sentences(offsets, documents)
    number = np.arange(before[-1]) - np.repeat(before[:-1], parts)
    starts = np.repeat(offsets[:-1], parts) + number * size
    return Sentences(np.append(starts, offsets[-1]), before[documents])


def reachable(following: Ints, roots: Ints) -> Bools:
    """Which nodes are visited by walking from the roots.

    Pointer doubling: after k rounds all nodes within 2**k steps are known.

    Args:
        following: [S] the node after each node, larger than it; S ends the walk.
        roots: [R] where walks begin.

    Returns:
        [S] True at visited nodes, roots included.
    """
    size = len(following)
    visited = np.zeros(size + 1, np.bool_)
    visited[roots] = True
    jump = np.append(following, size)
    found = int(np.count_nonzero(visited[:size]))
    while True:
        visited[jump[visited]] = True
        more = int(np.count_nonzero(visited[:size]))
        if more == found:
            return visited[:size]
        found, jump = more, jump[jump]


def ends_inside(text: Sentences, room: int) -> Ints:
    """[S] the first sentence that does not fit any more after each start, inside its document.

    Args:
        text: the sentences, none longer than ``room``.
        room: tokens of an instance.
    """
    ends = np.searchsorted(text.offsets, text.offsets[:-1] + room, side="right") - 1
    return np.minimum(ends, text.documents[text.owners() + 1])


def fill(text: Sentences, room: int) -> tuple[Ints, Ints]:
    """Consecutive sentences of a document, as many as fit; each stands in one instance.

    Args:
        text: as for `ends_inside`.
        room: tokens of an instance.

    Returns:
        [N] the first sentence of each instance, and [N] the one behind its last.
    """
    ends = ends_inside(text, room)
    first = np.flatnonzero(reachable(ends, text.documents[:-1]))
    return first, ends[first]


class Trim(NamedTuple):
    """Tokens that two texts lose so that they fit together.

    Args:
        first: [n] tokens the first text loses.
        second: [n] tokens the second loses.
    """

    first: Ints
    second: Ints


def trim_pair(first: Ints, second: Ints, room: int) -> Trim:
    """Shorten pairs of texts, always the longer one, at a tie the second.

    The closed form of taking tokens away one by one.

    Args:
        first: [n] lengths of the first texts.
        second: [n] lengths of the second texts.
        room: what both together may have.
    """
    excess = np.maximum(first + second - room, 0)
    gap = np.minimum(excess, np.abs(first - second))
    rest = excess - gap
    longer = first > second
    return Trim(
        rest // 2 + np.where(longer, gap, 0),
        (rest + 1) // 2 + np.where(longer, 0, gap),
    )
