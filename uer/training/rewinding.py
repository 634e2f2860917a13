"""What happens after too many updates in a row whose gradients were not finite.

Their instances are written down, and the run goes back to a checkpoint and on behind their data,
if it may. All processes find the same and do the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from uer.errors import ConfigError
from uer.files import atomic_file
from uer.training.engine import Engine
from uer.training.guards import Skipped
from uer.training.processes import Processes

logger = logging.getLogger(__name__)

Dealt = dict[int, list[int]]  # numbers of instances, by epoch


def require_rewinding(engine: Engine, times: int, *, numbered: bool) -> None:
    """Refuse ``--rewind`` where a run cannot go back.

    Raises:
        ConfigError: it cannot.
    """
    if times and not numbered:
        raise ConfigError([f"--rewind {times}: only pre-training keeps checkpoints to go back to."])
    if times and not engine.plain:
        raise ConfigError(
            [
                f"--rewind {times}: goes with --engine single or ddp, in which each process has "
                "all weights; leave it out and start the command again with --resume auto."
            ]
        )


def note_instances(
    path: Path,
    updates: Sequence[Skipped],
    instances: Callable[[dict[str, int]], Dealt],
    processes: Processes,
) -> str:
    """Write which instances skipped updates were made of. Together.

    The file is a list with an object per update: its number (``update``), where its micro-batches
    began in the data (``began_at``), and by process and micro-batch the numbers of its instances,
    by epoch (``instances``).

    Args:
        path: the file.
        updates: these.
        instances: of this process's batch at a position.
        processes: this one and the others.

    Returns:
        A sentence about the file, in the main process.
    """
    own = [[instances(position) for position in update.positions] for update in updates]
    everywhere = processes.gather(own)
    if not processes.is_main:
        return ""
    content = [
        {"update": step, "began_at": positions, "instances": list(of_ranks)}
        for (step, positions), *of_ranks in zip(updates, *everywhere, strict=True)
    ]
    try:
        with atomic_file(path) as scratch:
            scratch.write_text(json.dumps(content) + "\n", encoding="utf-8")
    except OSError as error:
        return f"Their instances could not be written to {path} ({error.strerror})."
    return f"Their instances are listed in {path}."


def step_to_go_back_to(saved: Sequence[int], first: int) -> int | None:
    """The step of the last checkpoint before update ``first``, or of the last one at all.

    Args:
        saved: steps of the checkpoints that there are.
        first: the first of the skipped updates; those behind it have changed nothing.
    """
    before = [step for step in saved if step < first]
    return max(before or saved, default=None)
