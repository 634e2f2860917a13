"""Who is stuck, and where, when several processes wait for one."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time

from torch.distributed.distributed_c10d import Store


class Watchdog:
    """Writes to the error stream which rank nothing has been heard of for a while.

    Every process counts its steps in a place that all can read; all of them take the same steps,
    so those with the lowest count are the ones the others wait for. They write their stacks. The
    run is not ended: what looks stuck may be slow.

    Args:
        store: the place; all processes share it.
        rank: which process this is.
        world: how many there are.
        patience: seconds without a step after which it speaks.
    """

    def __init__(self, store: Store, rank: int, world: int, patience: float) -> None:
        self._store, self._rank, self._world, self._patience = store, rank, world, patience
        self._steps, self._last = 0, time.monotonic()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """One more step is begun; the first starts the watch."""
        self._steps += 1
        self._last = time.monotonic()
        self._store.set(str(self._rank), str(self._steps))
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Watch no more; a thread that outlived the interpreter could abort it."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _watch(self) -> None:
        told = -1
        while not self._end.wait(min(self._patience / 4, 10)):
            if self._steps != told and time.monotonic() - self._last > self._patience:
                told = self._steps
                with contextlib.suppress(RuntimeError):  # the place is gone: the run has ended
                    self._tell()

    def _tell(self) -> None:
        steps = [self._steps_of(rank) for rank in range(self._world)]
        behind = [rank for rank, count in enumerate(steps) if count == min(steps)]
        if self._rank in behind:
            self._write(f"rank {self._rank} has not moved for {self._patience:g} s; its stacks:")
            faulthandler.dump_traceback(sys.stderr)
        else:
            them = "rank " + ", ".join(map(str, behind))
            self._write(f"rank {self._rank} has waited for {them} for {self._patience:g} s.")

    def _steps_of(self, rank: int) -> int:
        name = str(rank)
        return int(self._store.get(name)) if self._store.check([name]) else 0

    def _write(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
