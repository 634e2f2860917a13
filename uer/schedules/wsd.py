"""Warm-up, stable, decay: most of a run at the peak, a short fall at its end."""

from __future__ import annotations

from typing import Annotated

from uer.errors import ConfigError
from uer.schedules.base import Warmup, WarmupSchedule, decay_steps
from uer.signature import Given


class WarmupStableDecay(WarmupSchedule):
    """Linear warm-up, plateau, straight fall at the end (https://arxiv.org/abs/2404.06395).

    A checkpoint of the plateau can be resumed with more ``total_steps``: it went through nothing
    that the longer run would not have gone through.

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
        lr_decay: share of the run in which the learning rate falls.
        end_factor: where the fall ends, as a factor of the peak.

    Raises:
        ConfigError: a share or factor out of its range, or stages longer than the run.
    """

    def __init__(
        self,
        *,
        total_steps: Given[int],
        warmup: Warmup = 0.01,
        lr_decay: Annotated[float, "share of the run in which the learning rate falls"] = 0.1,
        end_factor: Annotated[float, "last learning rate as a factor of the peak"] = 0.0,
    ) -> None:
        super().__init__(total_steps=total_steps, warmup=warmup)
        self.decay, self.end = decay_steps(lr_decay, warmup, total_steps), end_factor
        if not 0 <= end_factor <= 1:
            raise ConfigError([f"end_factor {end_factor}: must lie between 0 and 1."])

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        left = (self.total - step) / self.decay if self.decay else 1.0
        return self.end + (1.0 - self.end) * min(1.0, max(0.0, left))
