"""Linear warm-up, then a straight line to 0 at the end of the run."""

from __future__ import annotations

from uer.schedules.base import Schedule, Warmup, progress, rise, warmup_steps
from uer.signature import Given


class Linear(Schedule):
    """Linear warm-up, then a straight line to 0 at the end of the run.

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
        return max(0.0, 1.0 - progress(step, self.warmup, self.total))
