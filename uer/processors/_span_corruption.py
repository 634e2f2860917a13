"""Span corruption (T5, https://arxiv.org/abs/1910.10683): spans of a text become sentinels.

How many tokens and spans are hidden follows from a text's length alone, only where they lie is
random; so the lengths of source and target are known before corruption, exactly.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from uer.data.instances import Ints
from uer.data.randomness import Draw, counted, leading, random_order
from uer.processors._sequences import Texts

CorruptionRate = Annotated[float, "share of a text's tokens that is hidden"]
MeanSpanLength = Annotated[float, "mean length of the hidden spans"]


class Noise(NamedTuple):
    """How much of each text is hidden.

    Args:
        tokens: [n] hidden tokens, at least one.
        spans: [n] in how many spans, at least one.
    """

    tokens: Ints
    spans: Ints

    @staticmethod
    def of(
        lengths: Ints,
        rate: float | np.ndarray,
        mean: float | np.ndarray,
        one_span: bool | np.ndarray = False,
    ) -> Noise:
        """The noise of texts.

        Args:
            lengths: [n] tokens of each text, at least one.
            rate: share of the tokens that is hidden.
            mean: mean length of a span.
            one_span: there is one span only, whatever its length.
        """
        tokens = np.rint(lengths * rate).astype(np.int64)
        tokens = np.clip(tokens, 1, np.maximum(lengths - 1, 1))
        spans = np.where(one_span, 1, np.rint(tokens / mean).astype(np.int64))
        return Noise(tokens, np.clip(spans, 1, np.maximum(np.minimum(tokens, lengths - tokens), 1)))

    def source(self, lengths: Ints) -> Ints:
        """[n] tokens left of texts of these lengths, sentinels included."""
        return lengths - self.tokens + self.spans

    def target(self) -> Ints:
        """[n] tokens of what should be said, the last sentinel included."""
        return self.tokens + self.spans + 1


def corrupt(texts: Texts, noise: Noise, sentinels: Ints, which: Ints, draw: Draw) -> list[Texts]:
    """Hide spans.

    A text keeps a token before every span (unless it has only one token), and its last span ends
    it, as in the original.

    Args:
        texts: n texts.
        noise: what is hidden of them.
        sentinels: [K] ids that stand for spans, more than any text has spans.
        which: [n] instance numbers.
        draw: the randomness of their epoch.

    Returns:
        The sources: what is left, sentinel k instead of span k. The targets: sentinel 0, span 0,
        sentinel 1, span 1, …, and one sentinel more.
    """
    kept = _partition(texts.lengths - noise.tokens, noise.spans, which, draw, "kept spans")
    hidden = _partition(noise.tokens, noise.spans, which, draw, "hidden spans")
    is_hidden = np.repeat(
        np.tile([False, True], len(kept)), np.stack([kept, hidden], axis=1).ravel()
    )
    _, number = counted(noise.spans)
    begins = np.cumsum(kept + hidden) - hidden  # of each span among all tokens
    source = texts.ids.copy()
    source[begins] = sentinels[number]
    stays = ~is_hidden
    stays[begins] = True
    said = np.insert(texts.ids[is_hidden], np.cumsum(hidden) - hidden, sentinels[number])
    return [
        Texts(source[stays], noise.source(texts.lengths)),
        Texts(said, noise.tokens + noise.spans).wrap(back=sentinels[noise.spans]),
    ]


def _partition(total: Ints, parts: Ints, which: Ints, draw: Draw, purpose: str) -> Ints:
    """Cut numbers into random positive parts, every way equally likely.

    Args:
        total: [n] the numbers, no less than ``parts``; 0 is its own only part.
        parts: [n] how many parts each has.
        which: [n] instance numbers.
        draw: the randomness of their epoch.
        purpose: of the draws.

    Returns:
        The parts of all numbers, one number after the other.
    """
    places = np.maximum(total - 1, 0)
    row, column = counted(places)
    order = random_order(row, draw.bits(purpose, which[row], column))
    cuts = np.sort(leading(order, places, parts - 1))
    last = np.cumsum(parts) - 1
    ends = np.empty(last[-1] + 1, np.int64)
    is_cut = np.ones(len(ends), np.bool_)
    is_cut[last] = False
    ends[is_cut], ends[last] = column[cuts] + 1, total
    starts = np.concatenate([[0], ends[:-1]])
    starts[last - parts + 1] = 0
    return ends - starts
