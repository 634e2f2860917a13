"""What may go wrong in a run that goes well: gradients, memory, and signals."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import torch

from uer.errors import UserError

logger = logging.getLogger(__name__)

Positions = list[dict[str, int]]

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_SETTLING, _MEMORY = 20, 0.05  # updates before norms have a usual size; share of a new one in it


class Skipped(NamedTuple):
    """An update that was skipped.

    Args:
        step: the update, from 1.
        positions: where in the data its micro-batches began.
    """

    step: int
    positions: Positions


class TooManySkippedError(UserError):
    """Too many updates in a row were skipped; all processes find that out at the same time.

    Args:
        updates: these.
        behind: where in the data the first update behind them began.
    """

    def __init__(self, updates: list[Skipped], in_a_row: int, behind: dict[str, int]) -> None:
        self.updates, self.behind = updates, behind
        step, positions = updates[-1]
        super().__init__(
            f"{in_a_row} updates in a row up to update {step} had gradients that are not "
            "finite; lower --learning_rate, raise --warmup, or use --precision fp32, and "
            f"resume from the last checkpoint (the data of the last one began at {positions})."
        )


class NonFiniteGuard:
    """Counts updates that were skipped because their gradients were not finite.

    Whether an update was skipped is known on the device; it is read one update later, so that the
    host never waits for work that it has just given out.

    Args:
        limit: this many in a row end the run.
        skipped: skipped updates so far.
        in_a_row: of these, the last ones without a good one between.

    Attributes:
        last: the updates that ``in_a_row`` counts.
    """

    def __init__(self, limit: int, skipped: int = 0, in_a_row: int = 0) -> None:
        self.limit, self.skipped, self.in_a_row = limit, skipped, in_a_row
        self.last: list[Skipped] = []
        self._pending: tuple[Skipped, _LateNumber, dict[str, int]] | None = None

    def watch(
        self, step: int, skipped: torch.Tensor, positions: Positions, behind: dict[str, int]
    ) -> None:
        """Follow an update; what is found out concerns the one before.

        Args:
            step: the update, from 1.
            skipped: [] 1 if it was skipped, else 0.
            positions: where in the data its micro-batches began.
            behind: where the next one begins.

        Raises:
            TooManySkippedError: too many in a row.
        """
        late = _LateNumber(skipped)
        self.flush()
        self._pending = (Skipped(step, positions), late, behind)

    def flush(self) -> None:
        """Find out about the last update now.

        Raises:
            TooManySkippedError: too many in a row.
        """
        if self._pending is None:
            return
        update, number, behind = self._pending
        self._pending = None
        if not number.read():
            self.in_a_row = 0
            self.last.clear()
            return
        self.skipped += 1
        self.in_a_row += 1
        self.last.append(update)
        logger.warning(
            "update %d was skipped: its gradients are not finite; its data began at %s", *update
        )
        if self.in_a_row >= self.limit:
            raise TooManySkippedError(list(self.last), self.in_a_row, behind)


class SpikeGuard:
    """Warns of updates whose gradients are much larger than usual; the updates are made anyway.

    What is usual is a running geometric mean of the norms; it is learnt anew after a resume. Norms
    are read one update late, as in `NonFiniteGuard`.

    Args:
        factor: this many times the usual norm is a spike; 0: nothing is.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._seen, self._usual = 0, 0.0
        self._pending: tuple[int, _LateNumber, Positions] | None = None

    def watch(self, step: int, norm: torch.Tensor, positions: Positions) -> None:
        """Follow an update; what is found out concerns the one before.

        Args:
            step: the update, from 1.
            norm: [] of its gradients.
            positions: where in the data its micro-batches began.
        """
        if self.factor:
            late = _LateNumber(norm)
            self.flush()
            self._pending = (step, late, positions)

    def flush(self) -> None:
        """Find out about the last update now."""
        if self._pending is None:
            return
        step, number, positions = self._pending
        self._pending = None
        norm = number.read()
        if not (math.isfinite(norm) and norm > 0):
            return
        usual = math.exp(self._usual)
        if self._seen >= _SETTLING and norm > self.factor * usual:
            logger.warning(
                "the gradients of update %d have norm %.4g, %.0f times the usual %.4g; "
                "its data began at %s",
                step,
                norm,
                norm / usual,
                usual,
                positions,
            )
        self._seen += 1
        self._usual += (math.log(norm) - self._usual) * max(_MEMORY, 1 / self._seen)


class _LateNumber:
    """A number of the device that is on its way to the host."""

    def __init__(self, value: torch.Tensor) -> None:
        self._event: Any = None
        self._value = value
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=value.dtype, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> float:
        if self._event is not None:
            self._event.synchronize()
        return float(self._value)


@contextlib.contextmanager
def memory_explained(step: Callable[[], int]) -> Iterator[None]:
    """Say which settings help when the block runs out of memory.

    Args:
        step: how many updates are done.

    Raises:
        UserError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        signs = ("out of memory", "not enough memory", "can't allocate memory")
        kinds = (MemoryError, torch.OutOfMemoryError)
        if not isinstance(error, kinds) and not any(sign in text for sign in signs):
            raise
        raise UserError(
            f"out of memory in update {step() + 1}; lower --batch_size and raise "
            "--accumulation_steps by the same factor, which gives the same result, or lower "
            "--seq_length."
        ) from error


class Interruption:
    """While entered, SIGTERM, SIGUSR1 and the first SIGINT end the run after the current update.

    A second SIGINT stops at once. Outside the main thread Python delivers no signals, so nothing
    is installed there.

    Attributes:
        signal: what arrived, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def exit_status(self) -> int:
        """What a shell reports of a process that this signal ended: 143 (TERM), 138 (USR1), …"""
        return 128 + (self.signal or 0)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        # No logging here: the signal may have come in the middle of a write to the same stream.
        self.signal = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
