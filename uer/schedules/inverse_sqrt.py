"""Linear warm-up, then one over the root of the update (https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

import math

from uer.schedules.base import WarmupSchedule

WITHOUT_WARMUP = 10_000  # the scale of the decay when no warm-up gives one


class InverseSqrt(WarmupSchedule):
    """Linear warm-up, then one over the root of the update (https://arxiv.org/abs/1706.03762)."""

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        timescale = self.warmup or WITHOUT_WARMUP
        return math.sqrt(timescale / (timescale + step - self.warmup))
