"""Linear warm-up, then the peak learning rate."""

from __future__ import annotations

from uer.schedules.base import WarmupSchedule


class ConstantWithWarmup(WarmupSchedule):
    """Linear warm-up, then the peak learning rate."""
