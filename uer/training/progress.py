"""What a run tells: console, a file of JSON lines, TensorBoard, Weights & Biases, a bar."""

from __future__ import annotations

import importlib
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from uer.errors import UserError

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Somewhere reports go."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Take a report.

        Args:
            step: updates done.
            figures: ``loss``, ``mlm.loss``, ``eval/loss``, ``learning_rate``, …
        """
        ...

    def close(self) -> None:
        """No more reports will come."""
        ...


class Console:
    """One line per report, through `logging`.

    Args:
        total: updates of the run.
    """

    def __init__(self, total: int) -> None:
        self._total = total

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Writer.write`."""
        shown = " | ".join(f"{name} {_shown(name, value)}" for name, value in figures.items())
        logger.info("%d/%d | %s", step, self._total, shown)

    def close(self) -> None:
        """See `Writer.close`."""


class JsonLines:
    """A file with one JSON object per report; what is not finite is written as null.

    Args:
        path: the file; reports are appended.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("a", encoding="utf-8").close()
        except OSError as error:
            raise UserError(f"cannot write the log {path}: {error.strerror}.") from error

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Writer.write`."""
        values = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def close(self) -> None:
        """See `Writer.close`."""


class TensorBoard:
    """TensorBoard's event files.

    Args:
        folder: where they go.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            board: Any = importlib.import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise UserError(
                "TensorBoard logs need the extra 'log': pip install 'uer[log]'."
            ) from error
        self._writer = board.SummaryWriter(str(folder))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Writer.write`."""
        for name, value in figures.items():
            self._writer.add_scalar(name.replace(".", "/"), value, step)

    def close(self) -> None:
        """See `Writer.close`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of a project on Weights & Biases; where and as whom, its own settings say.

    Args:
        project: its name.
        settings: of the run, shown beside the figures.

    Raises:
        UserError: wandb is not installed, or could not begin a run.
    """

    def __init__(self, project: str, settings: Mapping[str, Any]) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(
                "--wandb_project needs the extra 'wandb': pip install 'uer[wandb]'."
            ) from error
        try:
            self._run = wandb.init(project=project, config=dict(settings))
        except Exception as error:  # its own kinds of failure: no key, no network, no right
            raise UserError(
                f"--wandb_project {project}: Weights & Biases could not begin a run ({error}); "
                "log in with `wandb login`, or set WANDB_MODE=offline."
            ) from error

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Writer.write`."""
        self._run.log({name.replace(".", "/"): value for name, value in figures.items()}, step=step)

    def close(self) -> None:
        """See `Writer.close`."""
        self._run.finish()


class Bar:
    """A progress bar, if standard error is a terminal.

    Args:
        total: updates of the run.
        done: updates done before.
        shown: False: this process draws none.
    """

    def __init__(self, total: int, done: int = 0, *, shown: bool = True) -> None:
        hidden = not (shown and sys.stderr.isatty())
        self._bar = tqdm(total=total, initial=done, unit="update", disable=hidden, leave=False)

    def advance(self) -> None:
        """One more update is done."""
        self._bar.update()

    def back(self, step: int) -> None:
        """Only so many updates are done."""
        self._bar.n = step
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class Meter:
    """Speed since the last report.

    Attributes:
        tokens: real tokens of this process since then.

    Args:
        flops_per_token: of forward and backward pass, for the utilisation; None: not known.
        peak_flops: what the device does per second at best; None: not known.
    """

    def __init__(
        self, flops_per_token: float | None = None, peak_flops: float | None = None
    ) -> None:
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self.restart()

    def restart(self) -> None:
        """Measure from now on."""
        self._start = time.perf_counter()
        self._waited = self._paused = 0.0
        self._updates = self.tokens = 0

    def update(self, tokens: int) -> None:
        """One more update, with this many real tokens, is done."""
        self._updates += 1
        self.tokens += tokens

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block waits for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The block is no training (evaluation, checkpoints); its time does not count."""
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start

    def figures(self, updates_left: int, tokens: float) -> dict[str, float]:
        """The speed of the updates since the last restart.

        Args:
            updates_left: until the end of the run.
            tokens: real tokens of all processes since then.

        Returns:
            ``tokens_per_second`` (real tokens; left out where there are none), ``data_wait``
            (share of the time), ``eta_seconds``, and ``mfu`` (model flops utilisation) if known.
        """
        seconds = max(time.perf_counter() - self._start - self._paused, 1e-9)
        figures = {"data_wait": self._waited / seconds}
        if self._updates:
            figures["eta_seconds"] = updates_left * seconds / self._updates
        if tokens:
            figures["tokens_per_second"] = tokens / seconds
        if tokens and self._flops_per_token and self._peak_flops:
            figures["mfu"] = tokens / seconds * self._flops_per_token / self._peak_flops
        return figures


def _shown(name: str, value: float) -> str:
    """A figure as people read it."""
    if name == "eta_seconds" and math.isfinite(value):
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    if name in ("data_wait", "mfu"):
        return f"{value:.1%}"
    if name == "learning_rate":
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
