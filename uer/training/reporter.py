"""What a run measures and says: losses and speed of the last updates, evaluations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext

import torch

from uer.schedules.base import Schedule
from uer.training.average import WeightAverage
from uer.training.engine import Engine, Trainable
from uer.training.evaluation import Evaluation, Window, evaluate
from uer.training.progress import Console, Meter, Writer
from uer.training.settings import Settings
from uer.training.update import Scored

logger = logging.getLogger(__name__)


class Reporter:
    """Collects what updates yield and writes it where it is wanted.

    Args:
        engine: runs the model.
        model: is trained.
        settings: of the run.
        schedule: of the learning rate.
        evaluation: what is measured beside the training data.
        writers: where reports go besides the console.
        meter: measures the speed.

    Attributes:
        window: sums since the last report.
    """

    def __init__(
        self,
        engine: Engine,
        model: Trainable,
        settings: Settings,
        schedule: Schedule,
        *,
        evaluation: Evaluation | None,
        writers: Sequence[Writer],
        meter: Meter,
    ) -> None:
        self.engine, self.model, self.settings, self.schedule = engine, model, settings, schedule
        self.evaluation, self.meter = evaluation, meter
        self.writers = (Console(settings.total_steps), *writers)
        self.window = Window(engine.device)
        self._norm = torch.zeros(())
        self._starting = True  # no update of this process has been made yet
        self._measured: tuple[int, float] | None = None  # the last evaluation: its step, its value

    def add(
        self, step: int, scored: Sequence[Scored], norm: torch.Tensor, skipped: torch.Tensor
    ) -> None:
        """Count an update.

        Args:
            step: of how many there were before.
            scored: scores and items of each micro-batch.
            norm: of the gradients.
            skipped: the update was not made; it does not count.
        """
        for scores, items in scored:
            self.window.add(scores, items, unless=skipped)
        if self._starting:
            self._tell_start(step, scored)
        self._norm = norm

    def report(self, step: int, skipped: int) -> None:
        """Write about the updates since the last report. Together.

        Args:
            step: how many updates there were.
            skipped: how many of them were not made.
        """
        settings = self.settings
        tokens = torch.tensor(float(self.meter.tokens), device=self.engine.device)
        figures = self.window.figures(self.engine, self.model.loss_weights)
        figures["learning_rate"] = settings.learning_rate * self.schedule.factor(step - 1)
        figures["grad_norm"] = float(self._norm)
        if skipped:
            figures["skipped_updates"] = skipped
        everywhere = float(self.engine.sum_over_ranks(tokens))
        figures |= self.meter.figures(settings.total_steps - step, everywhere)
        self._write(step, figures)
        self.window.clear()
        self.meter.restart()

    def evaluate(self, step: int, average: WeightAverage | None) -> float | None:
        """The deciding figure of the present model; measured once per step. Together.

        Args:
            step: how many updates there were.
            average: the running mean of the weights, if that is to be measured.

        Returns:
            None: there is nothing to measure it on.
        """
        if self.evaluation is None:
            return None
        if self._measured is None or self._measured[0] != step:
            averaged = nullcontext() if average is None else average.in_place()
            with self.meter.paused(), averaged:
                figures = evaluate(self.engine, self.model, self.evaluation.data)
            self._measured = step, self.evaluation.value(figures)
            self._write(step, {f"eval/{name}": figure for name, figure in figures.items()})
        return self._measured[1]

    def forget(self) -> None:
        """The model is not what was evaluated."""
        self._measured = None

    def close(self) -> None:
        """Nothing comes any more."""
        for writer in self.writers:
            writer.close()

    def _tell_start(self, step: int, scored: Sequence[Scored]) -> None:
        """Log the loss before any change: weights that did not load show at once."""
        self._starting = False
        window = Window(self.engine.device)
        for scores, items in scored:
            window.add(scores, items)
        figures = window.figures(self.engine, self.model.loss_weights)
        losses = {name: value for name, value in figures.items() if name.endswith("loss")}
        if self.engine.is_main:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
            logger.info("before update %d: %s", step + 1, shown or "no item")

    def _write(self, step: int, figures: dict[str, float]) -> None:
        if self.engine.is_main:
            for writer in self.writers:
                writer.write(step, figures)
