"""Sums of losses and metrics: over a window of training, or over a whole evaluation set."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from uer.batch import Batch
from uer.errors import ConfigError, DataError
from uer.score import Score
from uer.training.engine import Engine, Trainable
from uer.training.state import Progress

logger = logging.getLogger(__name__)


class EvaluationData(Protocol):
    """Batches that are looked at as a whole, again and again."""

    def once(self) -> Iterator[Batch]:
        """All batches, from the first."""
        ...


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured while training, and which checkpoint is the best.

    Args:
        data: the evaluation set.
        best_by: the figure that decides: ``loss``, ``<target>.loss`` or ``<target>.<metric>``.
        highest: the best is the highest; by default the lowest.
    """

    data: EvaluationData
    best_by: str = "loss"
    highest: bool = False

    def value(self, figures: Mapping[str, float]) -> float:
        """The figure that decides.

        Raises:
            ConfigError: no target reports it.
        """
        if self.best_by not in figures:
            there = ", ".join(sorted(figures))
            raise ConfigError(
                [f"--metric_for_best_model {self.best_by}: the evaluation reports {there}."]
            )
        return figures[self.best_by]

    def forget_other(self, progress: Progress) -> None:
        """Look for the best anew where it was the best by another figure."""
        if progress.best_by not in (None, self.best_by):
            logger.info(
                "the best so far was by %s: by %s it begins anew", progress.best_by, self.best_by
            )
            progress.best_step = progress.best = progress.best_by = None

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value beats the best one so far; what is not a number never does."""
        if value != value:
            return False
        if best is None or best != best:
            return True
        return value > best if self.highest else value < best


class Window:
    """Sums and weights by figure, on the device until somebody asks.

    Args:
        device: where the figures are.
    """

    def __init__(self, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._sums: dict[str, torch.Tensor] = {}

    def add(
        self,
        scores: Mapping[str, Score],
        weights: Mapping[str, torch.Tensor],
        *,
        unless: torch.Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            scores: of each target.
            weights: [] items of each target.
            unless: [] where it is 1 the batch does not count (its update was skipped).
        """
        for name, pair in _ratios(scores, weights):
            values = torch.stack([part.detach().to(self._device, self._dtype) for part in pair])
            if unless is not None:
                values = torch.where(unless > 0, torch.zeros_like(values), values)
            self._sums[name] = self._sums[name] + values if name in self._sums else values

    def figures(self, engine: Engine, loss_weights: Mapping[str, float]) -> dict[str, float]:
        """Means of all figures, and ``loss``: the weighted sum of the targets' losses.

        Figures without any item are left out.
        """
        if not self._sums:
            return {}
        sums = engine.sum_over_ranks(torch.stack(list(self._sums.values()))).tolist()
        means = {
            name: total / weight
            for name, (total, weight) in zip(self._sums, sums, strict=True)
            if weight
        }
        losses = [
            weight * means[f"{target}.loss"]
            for target, weight in loss_weights.items()
            if f"{target}.loss" in means
        ]
        return {"loss": sum(losses), **means} if losses else means

    def state(self, engine: Engine) -> dict[str, tuple[float, float]]:
        """Everything as numbers, summed over all processes, for a checkpoint. Together."""
        if not self._sums:
            return {}
        sums = engine.sum_over_ranks(torch.stack(list(self._sums.values()))).tolist()
        return {name: (pair[0], pair[1]) for name, pair in zip(self._sums, sums, strict=True)}

    def load_state(self, state: Mapping[str, tuple[float, float]]) -> None:
        """Restore what `state` returned."""
        self._sums = {
            name: torch.tensor(pair, dtype=self._dtype, device=self._device)
            for name, pair in state.items()
        }

    def clear(self) -> None:
        """Start anew."""
        self._sums.clear()


def evaluate(engine: Engine, model: Trainable, data: EvaluationData) -> dict[str, float]:
    """Losses and metrics over a whole set, without a gradient and without dropout.

    Whatever a model draws meanwhile (a generator's samples) is the same every time, and the run's
    own randomness stays where it was.

    Args:
        engine: runs the model, which is left in training mode.
        model: the same model, for what it knows of its targets.
        data: the set.

    Returns:
        ``loss``, ``<target>.loss`` and ``<target>.<metric>``.

    Raises:
        DataError: the set is empty.
    """
    window = Window(engine.device)
    engine.model.eval()
    try:
        with torch.no_grad(), _own_randomness(engine.device):
            for batch in data.once():
                engine.processes.beat()
                there = batch.to(engine.device, non_blocking=True)
                window.add(engine.forward(there), model.weights(there))
    finally:
        engine.model.train()
    figures = window.figures(engine, model.loss_weights)
    if not figures:
        raise DataError("the evaluation data holds no item that a target could score.")
    return figures


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Draw from a fixed seed, and afterwards go on as if nothing had been drawn."""
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng(
        [] if on_cpu else [device], device_type="cuda" if on_cpu else device.type
    ):
        torch.manual_seed(0)
        yield


def _ratios(
    scores: Mapping[str, Score], weights: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    for target, score in scores.items():
        yield f"{target}.loss", (score.loss_sum, weights[target])
        for metric, ratio in score.metrics.items():
            yield f"{target}.{metric}", (ratio.total, ratio.weight)
