"""Linear warm-up, then the peak learning rate."""

from __future__ import annotations

from uer.schedules.base import Schedule, Warmup, rise, warmup_steps
from uer.signature import Given


class ConstantWithWarmup(Schedule):
    """Linear warm-up, then the peak learning rate.

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
        return 1.0 if rising is None else rising
