"""Linear warm-up, then a power of the remaining share down to a final learning rate."""

from __future__ import annotations

from typing import Annotated

from uer.errors import ConfigError
from uer.schedules.base import Warmup, WarmupSchedule, progress
from uer.signature import Given


class Polynomial(WarmupSchedule):
    """Linear warm-up, then a power of the remaining share down to a final learning rate.

    Args:
        total_steps: updates of the run.
        warmup: updates of linear warm-up; below 1 a share of the run.
        learning_rate: the peak.
        power: exponent of the remaining share; 1 is a straight line.
        end_learning_rate: what is reached at the end of the run.

    Raises:
        ConfigError: the end is not below the peak, or the power is not positive.
    """

    def __init__(
        self,
        *,
        total_steps: Given[int],
        warmup: Warmup = 0.1,
        learning_rate: Given[float],
        power: Annotated[float, "exponent of the remaining share of the run"] = 1.0,
        end_learning_rate: Annotated[float, "learning rate from the end of the run on"] = 1e-7,
    ) -> None:
        super().__init__(total_steps=total_steps, warmup=warmup)
        if not 0 <= end_learning_rate < learning_rate:
            raise ConfigError(
                [
                    f"end_learning_rate {end_learning_rate}: "
                    f"must lie between 0 and the learning rate {learning_rate}."
                ]
            )
        if power <= 0:
            raise ConfigError([f"power {power}: must be positive."])
        self.power = power
        self.end = end_learning_rate / learning_rate

    def after(self, step: int) -> float:
        """See `WarmupSchedule.after`."""
        left = 1.0 - min(1.0, progress(step, self.warmup, self.total))
        return self.end + (1.0 - self.end) * left**self.power
