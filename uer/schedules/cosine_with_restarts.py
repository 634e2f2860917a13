"""Linear warm-up, then cosines from 1 to 0 with hard restarts (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math
from typing import Annotated

from uer.errors import ConfigError
from uer.schedules.base import Schedule, Warmup, progress, rise, warmup_steps
from uer.signature import Given


class CosineWithRestarts(Schedule):
    """Linear warm-up, then cosines from 1 to 0 with hard restarts (https://arxiv.org/abs/1608.03983).

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
        cycles: cosines from the warm-up to the end.

    Raises:
        ConfigError: there is no cycle.
    """

    def __init__(
        self,
        *,
        total_steps: Given[int],
        warmup: Warmup = 0.1,
        cycles: Annotated[int, "cosines from the warm-up to the end"] = 1,
    ) -> None:
        self.total = total_steps
        self.warmup = warmup_steps(warmup, total_steps)
        if cycles < 1:
            raise ConfigError([f"cycles {cycles}: must be at least 1."])
        self.cycles = cycles

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        rising = rise(step, self.warmup)
        if rising is not None:
            return rising
        done = progress(step, self.warmup, self.total)
        if done >= 1.0:
            return 0.0
        return 0.5 * (1.0 + math.cos(math.pi * (self.cycles * done % 1.0)))
