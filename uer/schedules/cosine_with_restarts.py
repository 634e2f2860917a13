"""Linear warm-up, then cosines from 1 to 0 with hard restarts (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math
from typing import Annotated

from uer.errors import ConfigError
from uer.schedules.base import Warmup, WarmupSchedule, progress
from uer.signature import Given


class CosineWithRestarts(WarmupSchedule):
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
        super().__init__(total_steps=total_steps, warmup=warmup)
        if cycles < 1:
            raise ConfigError([f"cycles {cycles}: must be at least 1."])
        self.cycles = cycles

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        done = progress(step, self.warmup, self.total)
        if done >= 1.0:
            return 0.0
        return 0.5 * (1.0 + math.cos(math.pi * (self.cycles * done % 1.0)))
