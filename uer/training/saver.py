"""Where the checkpoints of a run go, and which of them stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from uer.files import SCRATCH, require_writable
from uer.training.checkpoint import (
    MANIFEST,
    MARKER,
    Contents,
    Progress,
    TrainerState,
    save_checkpoint,
)
from uer.training.engine import Engine


class Saver:
    """Writes checkpoints and removes old ones.

    Numbered (pre-training), a checkpoint is ``<path>-<step>``; the last ``keep`` stay, and the best
    one. Not numbered (fine-tuning), ``<path>`` itself is the best model of the evaluations so far,
    or the last one if there is no evaluation; only an interrupted run adds ``<path>-<step>``, to
    go on from.

    Args:
        path: the output path.
        contents: configuration and tokenizer.
        keep: how many of the last stay; 0: all.
        numbered: see above.
    """

    def __init__(self, path: str | Path, contents: Contents, *, keep: int, numbered: bool) -> None:
        self._path, self._contents = Path(path), contents
        self._keep, self._numbered = keep, numbered

    def place(self, step: int) -> Path:
        """The numbered folder of a step."""
        return self._path.with_name(f"{self._path.name}-{step}")

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
        improved: bool | None = None,
        interrupted: bool = False,
    ) -> Path | None:
        """Write a checkpoint, then remove those that have had their time.

        Args:
            engine: holds the weights.
            state: the run's; its list of saved checkpoints is brought up to date.
            improved: this is the best evaluation so far; None: there is no evaluation.
            interrupted: the run was asked to end early.

        Returns:
            Where it is; None if a better one stands there.
        """
        progress = state.progress
        weights = engine.weights()
        if not self._numbered and not interrupted:
            if improved is False:
                return None
            place, retired = self._path, []
        else:
            place, retired = self.place(progress.step), self._retire(progress)

        def write() -> None:
            save_checkpoint(place, weights, self._contents, state)
            for step in retired:
                _remove(self.place(step))

        engine.processes.on_main(write)
        return place

    def _retire(self, progress: Progress) -> list[int]:
        """Note the new checkpoint; returns the steps of those that are no longer kept."""
        everything = [*(step for step in progress.saved if step != progress.step), progress.step]
        last = everything[-self._keep :] if self._keep else everything
        progress.saved = [s for s in everything if s in last or s == progress.best_step]
        return [step for step in everything if step not in progress.saved]


def _remove(folder: Path) -> None:
    """Delete a checkpoint; it is renamed first, so that no half of one bears its name."""
    if (folder / MARKER).is_file():
        doomed = folder.with_name(SCRATCH + folder.name)
        shutil.rmtree(doomed, ignore_errors=True)  # a run that was killed here may have left it
        folder.rename(doomed)
        shutil.rmtree(doomed)
