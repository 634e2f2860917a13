"""Linear warm-up, then half a cosine from 1 to 0 (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math

from uer.schedules.base import Schedule, Warmup, progress, rise, warmup_steps
from uer.signature import Given


class Cosine(Schedule):
    """Linear warm-up, then half a cosine from 1 to 0 (https://arxiv.org/abs/1608.03983).

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
    """

    def __init__(
        self,
        *,
        total_steps: Given[int],
        warmup: Warmup = 0.1,
    ) -> None:
        self.total = total_steps
        self.warmup = warmup_steps(warmup, total_steps)

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        rising = rise(step, self.warmup)
        if rising is not None:
            return rising
        done = min(1.0, progress(step, self.warmup, self.total))
        return 0.5 * (1.0 + math.cos(math.pi * done))
