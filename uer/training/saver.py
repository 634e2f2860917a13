"""Where the checkpoints of a run go, and which of them stay."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from uer.files import SCRATCH, require_writable
from uer.training.average import WeightAverage
from uer.training.background import Background
from uer.training.checkpoint import MANIFEST, MARKER, Draft, draft, write_checkpoint
from uer.training.engine import Engine
from uer.training.kept import Kept
from uer.training.processes import Processes
from uer.training.state import Contents, Progress, TrainerState

logger = logging.getLogger(__name__)


class Saver:
    """Writes checkpoints and removes old ones.

    Numbered (pre-training), a checkpoint is ``<path>-<step>``; the last ``keep`` stay, and the best
    one. Not numbered (fine-tuning), ``<path>`` itself is the best model of the evaluations so far,
    or the last one if there is no evaluation; only an interrupted run adds ``<path>-<step>``, to
    go on from.

    Training waits until the tensors are copied; a thread writes them (``asynchronous``). The next
    checkpoint waits for it, and so does the end of the run.

    Args:
        path: the output path.
        contents: configuration and tokenizer.
        keep: how many of the last stay; 0: all.
        numbered: see above.
        asynchronous: False: training waits until all is on the disk.
    """

    def __init__(
        self,
        path: str | Path,
        contents: Contents,
        *,
        keep: int,
        numbered: bool,
        asynchronous: bool = True,
    ) -> None:
        self._path, self._contents = Path(path), contents
        self._keep, self._numbered, self._asynchronous = keep, numbered, asynchronous
        self._background = Background()
        self._kept: Kept | None = None

    @property
    def busy(self) -> bool:
        """A checkpoint is being written."""
        return self._background.busy

    @property
    def failed(self) -> bool:
        """The last checkpoint could not be written; `finish` says why."""
        return self._background.failed

    def place(self, step: int) -> Path:
        """The numbered folder of a step."""
        return self._path.with_name(f"{self._path.name}-{step}")

    def note(self, step: int, rewound: int) -> Path:
        """A file beside the checkpoints for the skipped updates up to a step.

        Args:
            step: the last of them.
            rewound: how often the run went back before, so that each time has its own file.
        """
        times = f".{rewound}" if rewound else ""
        return self._path.with_name(f"{self._path.name}-skipped-{step}{times}.json")

    def require_writable(self, step: int) -> None:
        """Fail before training if the checkpoint of this step could not be written.

        Raises:
            UserError: the place cannot be written, or holds something that is no checkpoint.
        """
        require_writable(self.place(step) if self._numbered else self._path, MANIFEST)

    def save(
        self,
        engine: Engine,
        state: TrainerState,
        *,
        average: WeightAverage | None = None,
        improved: bool | None = None,
        interrupted: bool = False,
    ) -> None:
        """Write a checkpoint, then remove those that have had their time. Together.

        Args:
            engine: holds the weights and the optimizer's state.
            state: the rest of the run's; its list of saved checkpoints is brought up to date.
            average: the running mean of the weights.
            improved: this is the best evaluation so far; None: there is no evaluation.
            interrupted: the run was asked to end early.

        Raises:
            UserError: this checkpoint or the one before could not be written.
        """
        self.finish(engine.processes)
        progress, place = state.progress, self._path
        if self._numbered or interrupted:
            place = self.place(progress.step)
            self._retire(progress)
        elif improved is False:
            return
        retired, weights = list(progress.retired), engine.lazy_weights()
        made = draft(
            weights,
            self._contents,
            state,
            optimizer=engine.lazy_optimizer_state(),
            average=None if average is None else average.weights(weights),
        )

        def write(made: Draft) -> None:
            write_checkpoint(place, made)
            logger.info("checkpoint written to %s", place)
            self._remove(retired)

        if self._can_copy(engine, made):
            self._copy_and_write(engine, made, write)
        else:
            _write_now(engine.processes, made, write)

    def finish(self, processes: Processes) -> None:
        """Wait until the last checkpoint is on the disk. Together.

        Raises:
            UserError: it could not be written.
        """
        processes.on_main(self._background.wait)

    def close(self) -> None:
        """Wait, whatever has gone wrong; what the writer has to say is only logged."""
        try:
            self._background.wait()
        except Exception as error:
            logger.error("%s", error)

    def clean(self, resumed: str | Path, progress: Progress) -> None:
        """Remove what a killed run had not come to remove. In the main process.

        Args:
            resumed: the checkpoint that this run goes on from; nothing is removed if it is not its
                own.
            progress: as the checkpoint says.
        """
        if Path(resumed).resolve() == self.place(progress.step).resolve():
            self._remove(progress.retired)

    def _can_copy(self, engine: Engine, made: Draft) -> bool:
        """Whether the checkpoint is copied first; the main process, which does it, decides."""
        if not self._asynchronous:
            return False
        lacking = False
        if engine.is_main:
            self._kept = self._kept or Kept(engine.device)
            lacking = not self._kept.has_room(made)
        if not engine.any_rank(lacking):
            return True
        logger.warning(
            "there is no memory for a copy of the model and of its optimizer's state: training "
            "waits until checkpoints are written, as with --async_save false"
        )
        self._asynchronous, self._kept = False, None
        return False

    def _copy_and_write(
        self, engine: Engine, made: Draft, write: Callable[[Draft], object]
    ) -> None:
        if self._kept is None:  # not the main process
            _gather_along(made)
        else:
            copy = self._kept.copy(made)
            self._background.start(lambda: write(copy))

    def _remove(self, steps: list[int]) -> None:
        for step in steps:
            _remove(self.place(step))

    def _retire(self, progress: Progress) -> None:
        """Note the new checkpoint, and those that are no longer kept."""
        everything = [*(step for step in progress.saved if step != progress.step), progress.step]
        last = everything[-self._keep :] if self._keep else everything
        progress.saved = [s for s in everything if s in last or s == progress.best_step]
        progress.retired = [step for step in everything if step not in progress.saved]


def _write_now(processes: Processes, made: Draft, write: Callable[[Draft], object]) -> None:
    """Write while all wait; what processes share is brought together one by one."""
    if not processes.is_main:
        _gather_along(made)
    processes.on_main(lambda: write(made))


def _gather_along(made: Draft) -> None:
    for _ in made.values():
        pass


def _remove(folder: Path) -> None:
    """Delete a checkpoint; it is renamed first, so that no half of one bears its name."""
    if (folder / MARKER).is_file():
        doomed = folder.with_name(SCRATCH + folder.name)
        shutil.rmtree(doomed, ignore_errors=True)  # a run that was killed here may have left it
        try:
            folder.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            logger.warning("the old checkpoint %s cannot be removed: %s", folder, error)
