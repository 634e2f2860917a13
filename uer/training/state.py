"""What a run carries from one checkpoint to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a checkpoint carries beside numbers.

    Args:
        config: text of ``config.yaml``.
        save_tokenizer: writes the tokenizer's files into the folder it is given; None: no text.
        save_tgt_tokenizer: the same for the target side's, where it has its own.
    """

    config: str
    save_tokenizer: Callable[[Path], None] | None = None
    save_tgt_tokenizer: Callable[[Path], None] | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a run is: all of its state that is neither a tensor of the model nor random.

    Args:
        step: updates done.
        position: where the data stream stands.
        skipped: updates left out because their gradients were not finite.
        skipped_in_a_row: of these, the last ones without a good update between.
        last_skipped: of these, each one's step and where its micro-batches began in the data.
        rewound: how often the run went back to a checkpoint.
        window: sums and weights of the figures since the last report.
        saved: steps of the numbered checkpoints of this run that are kept.
        best_step: step of the best evaluation that was saved; None before the first.
        best: its value.
        best_by: the figure that this is; None where a checkpoint did not say.
        retired: steps whose checkpoints this one makes superfluous; a killed run may not have come
            to remove them.
    """

    step: int = 0
    position: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    skipped_in_a_row: int = 0
    last_skipped: list[tuple[int, list[dict[str, int]]]] = field(default_factory=list)
    rewound: int = 0
    window: dict[str, tuple[float, float]] = field(default_factory=dict)
    saved: list[int] = field(default_factory=list)
    best_step: int | None = None
    best: float | None = None
    best_by: str | None = None
    retired: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """What a run needs to go on as if nothing had happened.

    Args:
        progress: how far it is.
        settings: the run's settings, to tell what was changed since.
        rng: states of the random generators.
        engine: state of the engine (loss scaling).
        optimizer: ``"<quantity>/<parameter>"`` → tensor, when it has been read.
        average: running mean of the weights, named like them; empty: there is none.
    """

    progress: Progress
    settings: dict[str, Any]
    rng: dict[str, torch.Tensor]
    engine: dict[str, float] = field(default_factory=dict)
    optimizer: dict[str, torch.Tensor] = field(default_factory=dict)
    average: dict[str, torch.Tensor] = field(default_factory=dict)
