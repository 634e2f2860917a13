"""Warm-up, plateau and exponential decay (https://arxiv.org/abs/1904.08779)."""

from __future__ import annotations

from typing import Annotated

from uer.errors import ConfigError
from uer.schedules.base import Schedule, Warmup, decay_steps, rise, warmup_steps
from uer.signature import Given


class TriStage(Schedule):
    """Warm-up, plateau and exponential decay (https://arxiv.org/abs/1904.08779).

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
        lr_decay: share of the run in which the learning rate falls; the rest is the plateau.
        start_factor: where the warm-up starts.
        end_factor: where the decay ends.

    Raises:
        ConfigError: a share or factor out of its range, or stages longer than the run.
    """

    def __init__(
        self,
        *,
        total_steps: Given[int],
        warmup: Warmup = 0.1,
        lr_decay: Annotated[float, "share of the run in which the learning rate falls"] = 0.5,
        start_factor: Annotated[float, "first learning rate as a factor of the peak"] = 0.01,
        end_factor: Annotated[float, "last learning rate as a factor of the peak"] = 0.05,
    ) -> None:
        self.warmup = warmup_steps(warmup, total_steps)
        self.start, self.end = start_factor, end_factor
        for name, value in (("start_factor", start_factor), ("end_factor", end_factor)):
            if not 0 < value <= 1:
                raise ConfigError([f"{name} {value}: must lie between 0 and 1, 0 excluded."])
        self.decay = decay_steps(lr_decay, warmup, total_steps)
        self.hold = total_steps - self.warmup - self.decay

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        rising = rise(step, self.warmup)
        if rising is not None:
            return self.start + (1.0 - self.start) * rising
        falling = step - self.warmup - self.hold
        if falling <= 0:
            return 1.0
        return self.end ** min(1.0, falling / self.decay) if self.decay else self.end
