"""Reading texts off the frames of a CTC model (https://doi.org/10.1145/1143844.1143891)."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

_NEVER = -math.inf


def greedy(chances: NDArray[np.float32], blank: int) -> list[int]:
    """The likeliest token of every frame, repetitions and blanks taken out.

    Args:
        chances: [F, V] log-probabilities.
        blank: the id that stands for no token.
    """
    best = chances.argmax(axis=1)
    new = np.ones(len(best), np.bool_)
    new[1:] = best[1:] != best[:-1]
    return best[new & (best != blank)].tolist()


def prefix_beam(
    chances: NDArray[np.float32], blank: int, beam_width: int
) -> list[tuple[list[int], float]]:
    """The likeliest texts, each with the probability of all its alignments together.

    Of every prefix two probabilities are kept: that its last frame was a blank, and that it was its
    last token; only after a blank does the same token count once more. In each frame the likeliest
    K + 1 tokens are looked at.

    Args:
        chances: [F, V] log-probabilities.
        blank: as for `greedy`.
        beam_width: K, prefixes that are followed.

    Returns:
        Up to K texts with their log-probabilities, the best first.
    """
    beams: list[tuple[tuple[int, ...], tuple[float, float]]] = [((), (0.0, _NEVER))]
    for row in chances.astype(np.float64):
        frame = row.tolist()
        after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [_NEVER, _NEVER])
        likely = np.argsort(-row, kind="stable")[: beam_width + 1].tolist()
        for prefix, (in_blank, in_token) in beams:
            either = _either(in_blank, in_token)
            stays = after[prefix]
            stays[0] = _either(stays[0], either + frame[blank])
            if prefix:
                stays[1] = _either(stays[1], in_token + frame[prefix[-1]])
            for token in likely:
                if token == blank:
                    continue
                before = in_blank if prefix and token == prefix[-1] else either
                longer = after[(*prefix, token)]
                longer[1] = _either(longer[1], before + frame[token])
        ranked = sorted(after.items(), key=lambda one: -_either(*one[1]))
        beams = [(text, (both[0], both[1])) for text, both in ranked[:beam_width]]
    found = [(list(text), _either(*both)) for text, both in beams]
    return [(text, chance) for text, chance in found if chance > _NEVER]


def _either(first: float, second: float) -> float:
    """log(exp(first) + exp(second))."""
    high, low = max(first, second), min(first, second)
    return high if low == _NEVER else high + math.log1p(math.exp(low - high))
