"""Linear warm-up, then a straight line to 0 at the end of the run."""

from __future__ import annotations

from uer.schedules.base import WarmupSchedule, progress


class Linear(WarmupSchedule):
    """Linear warm-up, then a straight line to 0 at the end of the run."""

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        return max(0.0, 1.0 - progress(step, self.warmup, self.total))
