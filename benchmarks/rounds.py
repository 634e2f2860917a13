"""Two sides, each in a process of its own, measured in turn.

What a side does to its process (memory allocator, denormals, threads) stays its own, and what the
machine does meanwhile (other work, clock rates) hits both sides alike: A B A B …, and the ratio is
taken round by round.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol


class Step(Protocol):
    """One update of a side."""

    def __call__(self) -> int:
        """Do it; returns how many real tokens it consumed."""
        ...


@dataclass(frozen=True)
class Round:
    """What one side did in one round."""

    tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """Real tokens per second."""
        return self.tokens / self.seconds


class Side:
    """A process that makes a step and repeats it on demand.

    Args:
        make: called in the process with ``arguments``; returns the step.
        arguments: for ``make``.
        workers: it has processes of its own; they must end when it does.
    """

    def __init__(self, make: Callable[..., Step], *arguments: Any, workers: bool = False) -> None:
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._pipe = here
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, make, arguments), daemon=not workers
        )
        self._process.start()

    def run(self, updates: int) -> Round:
        """Do some updates and wait for them."""
        self._pipe.send(updates)
        return self._pipe.recv()

    def finish(self) -> float:
        """End the process; returns its peak memory in MB."""
        self._pipe.send(0)
        peak = self._pipe.recv()
        self._process.join()
        return peak


def _serve(pipe: Connection, make: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    step = make(*arguments)
    while updates := pipe.recv():
        start = time.perf_counter()
        tokens = sum(step() for _ in range(updates))
        pipe.send(Round(tokens, time.perf_counter() - start))
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    pipe.close()
    # An orderly exit would wait for workers, and those of a pool wait for the exit.
    os._exit(0)


def in_turn(sides: dict[str, Side], *, rounds: int, updates: int) -> dict[str, list[Round]]:
    """Measure all sides ``rounds`` times in turn, after one round to warm up."""
    for side in sides.values():
        side.run(max(2, updates // 4))
    return {
        name: list(column)
        for name, column in zip(
            sides,
            zip(
                *[[side.run(updates) for side in sides.values()] for _ in range(rounds)],
                strict=True,
            ),
            strict=True,
        )
    }


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def spread(values: list[float], digits: int = 2) -> str:
    """Median with the smallest and largest value: ``2.31 (2.25-2.40)``."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
