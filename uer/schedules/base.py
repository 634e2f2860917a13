"""How the learning rate goes over a run, as a factor of its peak.

All schedules count updates. ``factor(step)`` belongs to the update before which ``step`` updates
were done, as in torch's ``LambdaLR``: with a warm-up the first update has factor 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from uer.errors import ConfigError
from uer.registry import Registry
from uer.signature import Given

Warmup = Annotated[float, "updates of warm-up; below 1: as a share of total_steps"]


class Schedule(ABC):
    """A learning-rate schedule."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """The factor of the peak learning rate.

        Args:
            step: how many updates were done before, from 0.
        """


def warmup_steps(warmup: float, total_steps: int) -> int:
    """Updates of warm-up.

    Args:
        warmup: below 1 a share of ``total_steps`` (rounded to whole updates), else a whole number.
        total_steps: updates of the run.

    Raises:
        ConfigError: it is negative, not whole, or longer than the run.
    """
    if 0 <= warmup < 1:
        return round(warmup * total_steps)
    if warmup != warmup or warmup < 0 or warmup % 1:
        raise ConfigError(
            [f"warmup {warmup}: give a share of the run (0 to 1) or a whole number of updates."]
        )
    if warmup > total_steps:
        raise ConfigError(
            [f"warmup {warmup:g} is longer than the run of {total_steps} updates (total_steps)."]
        )
    return int(warmup)


def decay_steps(lr_decay: float, warmup: float, total_steps: int) -> int:
    """Updates of a decay at the end of the run.

    Args:
        lr_decay: their share of the run.
        warmup: as in `warmup_steps`.
        total_steps: updates of the run.

    Raises:
        ConfigError: it is no share, or warm-up and decay are longer than the run.
    """
    if not 0 <= lr_decay <= 1:
        raise ConfigError([f"lr_decay {lr_decay}: must lie between 0 and 1."])
    rising, falling = warmup_steps(warmup, total_steps), round(lr_decay * total_steps)
    if rising + falling > total_steps:
        raise ConfigError(
            [
                f"warmup {rising} and lr_decay {falling} together are longer than the "
                f"run of {total_steps} updates (total_steps)."
            ]
        )
    return falling


def rise(step: int, warmup: int) -> float | None:
    """The linear warm-up from 0 to 1, or None when it is over."""
    return step / warmup if step < warmup else None


class WarmupSchedule(Schedule):
    """A linear warm-up from 0, then whatever a schedule is known for.

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
    """

    def __init__(self, *, total_steps: Given[int], warmup: Warmup = 0.1) -> None:
        self.total = total_steps
        self.warmup = warmup_steps(warmup, total_steps)

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        rising = rise(step, self.warmup)
        return self.after(step) if rising is None else rising

    def after(self, step: int) -> float:
        """The factor once the warm-up is over: here, the peak."""
        return 1.0


def progress(step: int, warmup: int, total: int) -> float:
    """The share of the updates after the warm-up that were done, from 0; above 1 after the end."""
    return (step - warmup) / max(1, total - warmup)


schedules: Registry[Schedule] = Registry("schedule", Schedule, "uer.schedules")
