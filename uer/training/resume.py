"""Which checkpoint a run goes on from."""

from __future__ import annotations

import logging
from glob import escape
from pathlib import Path
from typing import NamedTuple

from uer.errors import CheckpointError, ConfigError, UserError
from uer.training.checkpoint import check_files, saved_step
from uer.training.processes import Processes

logger = logging.getLogger(__name__)

AUTO = "auto"


class Found(NamedTuple):
    """What a run goes on from.

    Args:
        folder: the checkpoint; None: the run begins.
        auto: it was looked for; a run that is done then ends well.
        notes: what there is to say about it, once the processes know which of them speaks.
    """

    folder: str | None
    auto: bool = False
    notes: tuple[str, ...] = ()

    def agree(self, processes: Processes) -> None:
        """Log the notes, and make sure that all processes have found the same. Together.

        Raises:
            UserError: they have not.
        """
        for note in self.notes:
            logger.info(note)
        if self.auto and len(set(everywhere := processes.gather(self.folder))) > 1:
            shown = ", ".join(f"rank {rank}: {found}" for rank, found in enumerate(everywhere))
            raise UserError(
                f"the processes do not find the same checkpoint ({shown}); --output_model_path "
                "must be on a disk that all of them share, or name the checkpoint."
            )


def find(checkpoint: str | None, alias: str | None, output: str | Path) -> Found:
    """Read the flags.

    Args:
        checkpoint: of ``--resume_from_checkpoint``: a folder, or `AUTO`: the newest whole one of
            this run, if there is one.
        alias: of ``--resume``, the same.
        output: where this run's checkpoints are.

    Raises:
        ConfigError: the two flags contradict each other.
    """
    if checkpoint is not None and alias is not None and checkpoint != alias:
        raise ConfigError(
            [f"--resume {alias} and --resume_from_checkpoint {checkpoint} are one setting."]
        )
    wish = checkpoint if checkpoint is not None else alias
    if wish != AUTO:
        return Found(wish)
    folder, notes = newest(output)
    if folder is None:
        notes.append(f"there is no checkpoint {output}-<step> to go on from: the run begins")
    return Found(None if folder is None else str(folder), True, tuple(notes))


def newest(output: str | Path) -> tuple[Path | None, list[str]]:
    """The whole checkpoint of a run that has the most updates.

    Args:
        output: the run's output path: ``<output>-<step>`` and ``<output>`` itself are looked at.

    Returns:
        The folder or None, and a sentence for each that was left out.
    """
    path = Path(output)
    numbered = path.parent.glob(f"{escape(path.name)}-*")
    found, notes = [], []
    for folder in (path, *numbered):
        number = folder.name[len(path.name) + 1 :]
        if not folder.is_dir() or not (number.isdecimal() or folder == path):
            continue
        try:
            check_files(folder, resume=True)
            found.append((saved_step(folder), folder))
        except CheckpointError as error:
            notes.append(f"left out: {error}")
    return max(found, default=(0, None))[1], notes
