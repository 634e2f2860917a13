"""Linear warm-up, then one over the root of the update (https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

import math

from uer.schedules.base import Schedule, Warmup, rise, warmup_steps
from uer.signature import Given

WITHOUT_WARMUP = 10_000  # the scale of the decay when no warm-up gives one


class InverseSqrt(Schedule):
    """Linear warm-up, then one over the root of the update (https://arxiv.org/abs/1706.03762).

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
        self.warmup = warmup_steps(warmup, total_steps)

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        rising = rise(step, self.warmup)
        if rising is not None:
            return rising
        timescale = self.warmup or WITHOUT_WARMUP
        return math.sqrt(timescale / (timescale + step - self.warmup))
