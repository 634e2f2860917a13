"""The training loop: one for every model, objective and engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from torch import nn

from uer.batch import Batch
from uer.errors import CheckpointError, DataError, UserError
from uer.layers.dropout import POOL
from uer.optimizers.base import Optimizer
from uer.schedules.base import Schedule
from uer.training.average import WeightAverage
from uer.training.blocks import recompute
from uer.training.checkpoint import load_trainer_state, load_weights
from uer.training.compiling import compile_layers, require_compiling
from uer.training.engine import Engine, Trainable
from uer.training.evaluation import Evaluation
from uer.training.guards import (
    Interruption,
    NonFiniteGuard,
    Positions,
    Skipped,
    SpikeGuard,
    TooManySkippedError,
    memory_explained,
)
from uer.training.half import require_range
from uer.training.machine import (
    name_by_rank,
    random_state,
    seed_everything,
    seed_of_rank,
    set_random_state,
    state_of_rank,
)
from uer.training.progress import Bar, Meter, Writer
from uer.training.rates import make_optimizer
from uer.training.reporter import Reporter
from uer.training.rewinding import note_instances, require_rewinding, step_to_go_back_to
from uer.training.saver import Saver
from uer.training.settings import Settings
from uer.training.state import Contents, Progress, TrainerState
from uer.training.update import update

logger = logging.getLogger(__name__)


class Stream(Protocol):
    """Batches without end."""

    def next(self) -> Batch:
        """The next batch of this process; StopIteration if there is none at all."""
        ...

    def position(self) -> dict[str, int]:
        """Where the next batch begins."""
        ...

    def seek(self, position: dict[str, int]) -> None:
        """Go to where `position` was."""
        ...

    def instances(self, position: dict[str, int]) -> dict[int, list[int]]:
        """Numbers of the instances of this process's batch at a position, by epoch."""
        ...


class Trainer:
    """Trains a model, reports, evaluates, saves, and goes on where a run was interrupted.

    The caller seeds the process (`uer.training.machine.seed_everything`) before it builds the
    model.

    Args:
        model: an ``nn.Module`` with the methods of `Trainable`.
        stream: the training data.
        settings: of the run.
        optimizer: makes the updates.
        schedule: of the learning rate.
        engine: runs the model; not yet prepared.
        contents: what checkpoints carry beside numbers.
        evaluation: what is measured at the start, while training, and at every checkpoint.
        writers: where reports go besides the console.
        meter: measures the speed.
        numbered: checkpoints are called ``<output_model_path>-<step>``; otherwise the best, or
            last, is written to the path itself (see `Saver`).
    """

    def __init__(
        self,
        model: Trainable,
        stream: Stream,
        settings: Settings,
        *,
        optimizer: Optimizer,
        schedule: Schedule,
        engine: Engine,
        contents: Contents,
        evaluation: Evaluation | None = None,
        writers: Sequence[Writer] = (),
        meter: Meter | None = None,
        numbered: bool = True,
    ) -> None:
        self.model, self.stream, self.settings = model, stream, settings
        self.optimizer, self.schedule, self.engine = optimizer, schedule, engine
        self.evaluation, self.meter, self.numbered = evaluation, meter or Meter(), numbered
        self.reporter = Reporter(
            engine,
            model,
            settings,
            schedule,
            evaluation=evaluation,
            writers=writers,
            meter=self.meter,
        )
        self.saver = Saver(
            settings.output_model_path,
            contents,
            keep=settings.keep_checkpoints,
            numbered=numbered,
            asynchronous=settings.async_save,
        )
        self.progress = Progress()
        self.guard = NonFiniteGuard(settings.max_skipped_updates)
        self.spikes = SpikeGuard(settings.spike_factor)
        self.average: WeightAverage | None = None
        self._out_of_time = False
        self._saved_at = -1

    def run(self, resume: str | Path | None = None, *, auto: bool = False) -> Progress:
        """Train to the end.

        Args:
            resume: a checkpoint to go on from; on a CPU the result is, bit for bit, that of a run
                that was never interrupted.
            auto: the checkpoint was not named by anybody: it may be that of the end.

        Returns:
            How far the run is: all updates are done, or ``max_hours`` are over.

        Raises:
            SystemExit: SIGTERM (status 143), SIGUSR1 (138) or SIGINT (130) ended the run early;
                the update was finished and a checkpoint written.
            UserError: the output cannot be written, the data is empty, the checkpoint does not
                fit, memory is too small, or too many gradients in a row were not finite.
        """
        ends = time.monotonic() + 3600 * (self.settings.max_hours or 0)
        with self.engine.processes.together():
            with memory_explained(lambda: self.progress.step):
                if not self._prepare(resume, auto=auto):
                    return self.progress
            bar = Bar(self.settings.total_steps, self.progress.step, shown=self.engine.is_main)
            try:
                with Interruption() as interruption, memory_explained(lambda: self.progress.step):
                    self._train(interruption, bar, ends)
                    self.saver.finish(self.engine.processes)
            except Exception:
                self.saver.close()
                raise
            finally:
                bar.close()
                self.reporter.close()
            if self.progress.step < self.settings.total_steps and not self._out_of_time:
                raise SystemExit(max(self.engine.processes.gather(interruption.exit_status())))
        return self.progress

    def _prepare(self, resume: str | Path | None, *, auto: bool = False) -> bool:
        """Bring everything to where the run begins; returns whether there is something to do."""
        module = self.model
        assert isinstance(module, nn.Module), "a model is an nn.Module"
        processes, settings = self.engine.processes, self.settings
        state = None if resume is None else load_trainer_state(resume)
        if auto and state is not None and state.progress.step >= settings.total_steps:
            self.progress = state.progress
            logger.info("%s has done all %d updates", resume, state.progress.step)
            return False
        require_range(module, self.engine.precision)
        require_rewinding(self.engine, settings.rewind, numbered=self.numbered)
        processes.on_main(lambda: self.saver.require_writable(settings.total_steps))
        if state is not None and resume is not None:
            _load(module, resume, state, settings)
        self.model.on_start()
        if settings.compile:
            recomputed = settings.checkpoint_activations
            require_compiling(self.engine, checkpoint_activations=recomputed)
            logger.info("%d layers are compiled", compile_layers(module))
        if settings.checkpoint_activations:
            logger.info("activations of %d layers are computed twice", recompute(module))
        self.engine.prepare(module, lambda: make_optimizer(self.optimizer, self.model, settings))
        self.engine.model.train()
        if settings.ema_decay:
            self.average = WeightAverage(module, settings.ema_decay)
            if self.evaluation is not None:
                logger.info("evaluations are of the running mean of the weights (ema_decay)")
        if processes.rank:  # the weights were drawn alike; what comes now is each process's own
            seed_everything(seed_of_rank(settings.seed, processes.rank))
        if not self.model.additive and self.settings.accumulation_steps > 1:
            logger.warning(
                "a target compares the rows of a batch: %d micro-batches are not one big batch",
                self.settings.accumulation_steps,
            )
        if state is not None and resume is not None:
            self._restore(state)
            processes.on_main(lambda: self.saver.clean(resume, self.progress))
            changed = settings.differences(state.settings)
            since = f"; changed since: {', '.join(changed)}" if changed else ""
            logger.info("resumed from %s after update %d%s", resume, self.progress.step, since)
        else:
            self.reporter.evaluate(self.progress.step, self.average)
        return True

    def _restore(self, state: TrainerState) -> None:
        """Bring everything to where the checkpoint was; the random states last."""
        self.engine.load_optimizer_state(state.optimizer)
        self.engine.load_state(state.engine)
        if self.average is not None:
            self.average.restore(state.average)
        self.progress = state.progress
        if self.evaluation is not None:
            self.evaluation.forget_other(self.progress)
        self.model.on_resume(self.progress.step, self.settings.total_steps)
        self.stream.seek(state.progress.position)
        window = state.progress.window  # the sums over all processes
        others = dict.fromkeys(window, (0.0, 0.0))
        self.reporter.window.load_state(window if self.engine.is_main else others)
        self.guard.skipped = state.progress.skipped
        self.guard.in_a_row = state.progress.skipped_in_a_row
        self.guard.last = [Skipped(*one) for one in state.progress.last_skipped]
        rank = self.engine.processes.rank
        own = state_of_rank(state.rng, rank)
        if own is None:  # there were fewer processes
            seed_everything(seed_of_rank(self.settings.seed + self.progress.step, rank))
        else:
            set_random_state(own)

    def _train(self, interruption: Interruption, bar: Bar, ends: float) -> None:
        """To the end, with a new beginning at a checkpoint where too many updates are skipped."""
        while True:
            try:
                return self._loop(interruption, bar, ends)
            except TooManySkippedError as error:
                self._rewind(error)
                bar.back(self.progress.step)

    def _rewind(self, error: TooManySkippedError) -> None:
        """Go back to a checkpoint, and on behind the data of the skipped updates. Together.

        Raises:
            UserError: there is no checkpoint, or the run went back often enough.
        """
        processes, settings, last = self.engine.processes, self.settings, self.progress
        note = self.saver.note(error.updates[-1].step, last.rewound)
        said = note_instances(note, error.updates, self.stream.instances, processes)
        if last.rewound >= settings.rewind:
            raise UserError(f"{error} {said}") from error
        self.saver.finish(processes)
        step = step_to_go_back_to(last.saved, error.updates[0].step)
        if step is None:
            raise UserError(f"{error} {said} There is no checkpoint to go back to.") from error
        folder = self.saver.place(step)
        state = load_trainer_state(folder)
        assert isinstance(self.model, nn.Module), "a model is an nn.Module"
        load_weights(self.model, folder)
        skipped = self.guard.skipped
        self._restore(state)
        self.guard = NonFiniteGuard(settings.max_skipped_updates, skipped)
        self.spikes = SpikeGuard(settings.spike_factor)
        self.stream.seek(error.behind)
        progress = self.progress
        progress.position, progress.rewound = error.behind, last.rewound + 1
        self.reporter.forget()
        self._saved_at = -1
        logger.warning(
            "%d updates in a row were skipped: the run goes back to %s, and on with the data "
            "behind them (%d of %d times). %s",
            len(error.updates),
            folder,
            progress.rewound,
            settings.rewind,
            said,
        )

    def _loop(self, interruption: Interruption, bar: Bar, ends: float) -> None:
        settings, progress = self.settings, self.progress
        self.meter.restart()
        while progress.step < settings.total_steps:
            self.engine.processes.beat()
            if self.engine.any_rank(interruption.signal is not None or self.saver.failed):
                self.saver.finish(self.engine.processes)
                logger.warning("the run was asked to end; it stops after update %d", progress.step)
                break
            if settings.max_hours and self.engine.any_rank(time.monotonic() >= ends):
                logger.info("max_hours are over; the run ends after update %d", progress.step)
                self._out_of_time = True
                break
            self._update()
            bar.advance()
            if progress.step % settings.report_steps == 0:
                self.reporter.report(progress.step, self.guard.skipped)
            if settings.eval_steps and progress.step % settings.eval_steps == 0:
                self.reporter.evaluate(progress.step, self.average)
            if progress.step % settings.save_checkpoint_steps == 0:
                self._save()
        self.guard.flush()
        self.spikes.flush()
        if self._saved_at != progress.step:
            early = progress.step < settings.total_steps and not self._out_of_time
            self._save(interrupted=early)

    def _update(self) -> None:
        progress = self.progress
        POOL.advance(self.settings.seed, progress.step)
        with self.meter.waiting():
            batches, positions = self._fetch()
        rate = self.settings.learning_rate * self.schedule.factor(progress.step)
        self.meter.update(sum(batch.tokens() for batch in batches))
        there = [batch.to(self.engine.device, non_blocking=True) for batch in batches]
        report, scored = update(self.engine, self.model, there, rate)
        self.reporter.add(progress.step, scored, report.grad_norm, report.skipped)
        progress.step += 1
        if self.average is not None:
            self.average.update(progress.step, report.skipped)
        progress.position = self.stream.position()
        total = self.settings.total_steps
        self.engine.edit(lambda: self.model.on_update(progress.step, total))
        self.guard.watch(progress.step, report.skipped, positions, progress.position)
        self.spikes.watch(progress.step, report.grad_norm, positions)

    def _fetch(self) -> tuple[list[Batch], Positions]:
        """The micro-batches of an update, and where each began."""
        batches, positions = [], []
        for _ in range(self.settings.accumulation_steps):
            positions.append(self.stream.position())
            try:
                batches.append(self.stream.next())
            except StopIteration:
                raise DataError(
                    "the training data gave no batch: it is empty, or shorter than one batch; "
                    "check the corpus, --seq_length and --batch_size."
                ) from None
        return batches, positions

    def _save(self, *, interrupted: bool = False) -> None:
        """Save; an interrupted run has no time to evaluate."""
        progress = self.progress
        improved = None
        value = None if interrupted else self.reporter.evaluate(progress.step, self.average)
        if self.evaluation is not None and value is not None:
            improved = self.evaluation.better(value, progress.best)
            if improved:
                progress.best_step, progress.best = progress.step, value
                progress.best_by = self.evaluation.best_by
        self.guard.flush()
        with self.meter.paused():
            self.saver.save(
                self.engine,
                self._state(),
                average=self.average,
                improved=improved,
                interrupted=interrupted,
            )
        self._saved_at = progress.step

    def _state(self) -> TrainerState:
        progress = self.progress
        progress.window = self.reporter.window.state(self.engine)
        progress.skipped, progress.skipped_in_a_row = self.guard.skipped, self.guard.in_a_row
        progress.last_skipped = [(one.step, one.positions) for one in self.guard.last]
        return TrainerState(
            progress=progress,
            settings=asdict(self.settings),
            rng=name_by_rank(self.engine.processes.gather(random_state())),
            engine=self.engine.state(),
        )


def _load(module: nn.Module, folder: str | Path, state: TrainerState, settings: Settings) -> None:
    """Load a checkpoint's weights, before an engine divides them.

    Raises:
        UserError: the checkpoint is that of a run's end.
        CheckpointError: it is of another model.
    """
    if state.progress.step >= settings.total_steps:
        raise UserError(
            f"{folder} has done {state.progress.step} of {settings.total_steps} updates: "
            "there is nothing left to do; raise --total_steps to train longer."
        )
    report = load_weights(module, folder)
    if report.missing or report.unexpected:
        raise CheckpointError(
            f"{folder} cannot be resumed with this model ({report.line()[:-1]}); use the "
            "configuration of the checkpoint, or load it as a pre-trained model instead."
        )
