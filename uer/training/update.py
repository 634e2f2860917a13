"""One update: several micro-batches with the gradient of one big batch.

Each target's items are added over the micro-batches and over all ranks first, and only then is
every loss sum, divided by that total, propagated back. So accumulation, ranks and micro-batches of
unequal size give the gradient of one big batch, for several targets at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from uer.batch import Batch
from uer.score import Ratio, Score
from uer.training.engine import Engine, StepReport, Trainable


class Scored(NamedTuple):
    """A micro-batch's scores without their graph, and the items of each target."""

    scores: dict[str, Score]
    items: dict[str, torch.Tensor]


def update(
    engine: Engine, model: Trainable, batches: Sequence[Batch], learning_rate: float
) -> tuple[StepReport, list[Scored]]:
    """One update; the host waits for nothing.

    Args:
        engine: runs the model.
        model: the same model, for what it knows of its targets.
        batches: the micro-batches, on the engine's device.
        learning_rate: of this update.

    Returns:
        What the update was like, and the scores of each micro-batch.
    """
    items = [model.weights(batch) for batch in batches]
    shares = _shares(engine, model, items)
    scored = []
    for number, (batch, counts) in enumerate(zip(batches, items, strict=True), start=1):
        scores = engine.forward(batch, last=number == len(batches))
        losses = [shares[name] * score.loss_sum for name, score in scores.items()]
        engine.backward(torch.stack(losses).sum())
        scored.append(Scored(_without_graph(scores), counts))
    return engine.step(learning_rate), scored


def _shares(
    engine: Engine, model: Trainable, items: Sequence[dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """λ divided by the items of the whole update, per target; 0 where there is no item."""
    names = list(model.loss_weights)
    sums = torch.stack([torch.stack([counts[name] for counts in items]).sum() for name in names])
    totals = engine.sum_over_ranks(sums)
    inverse = torch.where(totals > 0, 1 / totals, torch.zeros_like(totals))
    return {name: model.loss_weights[name] * inverse[i] for i, name in enumerate(names)}


def _without_graph(scores: dict[str, Score]) -> dict[str, Score]:
    """The same scores, so that the graph's memory can be given back."""
    return {
        name: Score(
            score.loss_sum.detach(),
            {key: Ratio(r.total.detach(), r.weight.detach()) for key, r in score.metrics.items()},
        )
        for name, score in scores.items()
    }
