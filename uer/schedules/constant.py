"""The peak learning rate from the first update to the last."""

from __future__ import annotations

from uer.schedules.base import Schedule


class Constant(Schedule):
    """The peak learning rate from the first update to the last."""

    def factor(self, step: int) -> float:
        """See `Schedule.factor`."""
        return 1.0
