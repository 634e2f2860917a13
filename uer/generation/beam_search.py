"""Beam search: the likeliest texts of a model that says one token after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch

# Takes ids [N, T] with the row [N] that each continues; gives [N, V] log-probabilities of what
# comes next.
Continue: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Hypothesis(NamedTuple):
    """A text.

    Args:
        ids: its tokens, without start and end.
        score: log-probability, divided by a power of the length.
    """

    ids: list[int]
    score: float


class Limits(NamedTuple):
    """How long a search goes on.

    Args:
        beam_width: K, texts that are followed at once; 1: the likeliest token each time.
        max_length: tokens of a text at most, the end included.
        min_length: tokens before a text may end.
        length_penalty: p of the score log P / length**p, where length counts the end; 0 prefers
            short texts, 1 compares means.
    """

    beam_width: int
    max_length: int
    min_length: int = 0
    length_penalty: float = 1.0

    def score(self, total: float, length: int) -> float:
        """Of a text of so many tokens, with the logarithm of its probability."""
        return total / length**self.length_penalty


def beam_search(
    following: Continue,
    rows: int,
    limits: Limits,
    *,
    start: int,
    end: int,
    never: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Search for the likeliest texts of several rows at once.

    A row is done when K of its texts have ended and none that is followed has a better score at its
    present length. What has not ended at the maximal length counts as it is.

    Args:
        following: the model.
        rows: B, of what the texts are about.
        limits: when the search ends.
        start: the token that every text starts with.
        end: the token that ends a text.
        never: tokens that no text holds, e.g. padding.
        device: where the ids are wanted.

    Returns:
        Of each row up to K texts, the best first.
    """
    width = limits.beam_width
    barred = torch.tensor(never, dtype=torch.int64, device=device)
    done: list[list[Hypothesis]] = [[] for _ in range(rows)]
    alive = torch.arange(rows, device=device)
    ids = torch.full((rows, width, 1), start, device=device)
    # At first all beams of a row are the same, so only one of them counts.
    total = torch.full((rows, width), -torch.inf, device=device)
    total[:, 0] = 0.0
    for length in range(1, limits.max_length + 1):
        chances = following(ids.flatten(0, 1), alive.repeat_interleave(width))
        chances = chances.index_fill(1, barred, -torch.inf)
        if length <= limits.min_length:
            chances[:, end] = -torch.inf
        # At most one candidate of a beam ends, so K of twice as many go on.
        sums = (total[:, :, None] + chances.unflatten(0, (-1, width))).flatten(1)
        best, place = sums.topk(2 * width)
        beam, token = place // chances.shape[1], place % chances.shape[1]
        ends = token == end
        for at, rank in (ends & best.isfinite())[:, :width].nonzero().tolist():
            text = ids[at, beam[at, rank], 1:].tolist()
            score = limits.score(best[at, rank].item(), length)
            done[int(alive[at])].append(Hypothesis(text, score))
        going = ends.int().argsort(dim=1, stable=True)[:, :width]
        beam, token, total = (one.gather(1, going) for one in (beam, token, best))
        history = ids.gather(1, beam[:, :, None].expand(-1, -1, length))
        ids = torch.cat([history, token[:, :, None]], dim=2)
        open_rows = [
            at
            for at, (row, most) in enumerate(zip(alive.tolist(), total[:, 0].tolist(), strict=True))
            if not _settled(done[row], limits.score(most, length), width)
        ]
        alive, ids, total = alive[open_rows], ids[open_rows], total[open_rows]
        if not open_rows:
            break
    for row, texts, sums in zip(alive.tolist(), ids.tolist(), total.tolist(), strict=True):
        scores = (limits.score(one, limits.max_length) for one in sums)
        done[row] += [Hypothesis(t[1:], s) for t, s in zip(texts, scores, strict=True)]
    return [_ranked(found, width) for found in done]


def _settled(found: list[Hypothesis], possible: float, width: int) -> bool:
    """Whether nothing that is followed would be among the best as it stands."""
    return len(found) >= width and possible <= _ranked(found, width)[-1].score


def _ranked(found: list[Hypothesis], width: int) -> list[Hypothesis]:
    possible = (one for one in found if one.score > -float("inf"))
    return sorted(possible, key=lambda one: -one.score)[:width]
