"""Linear warm-up, then half a cosine from 1 to 0 (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math

from uer.schedules.base import WarmupSchedule, progress


class Cosine(WarmupSchedule):
    """Linear warm-up, then half a cosine from 1 to 0 (https://arxiv.org/abs/1608.03983)."""

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        done = min(1.0, progress(step, self.warmup, self.total))
        return 0.5 * (1.0 + math.cos(math.pi * done))
