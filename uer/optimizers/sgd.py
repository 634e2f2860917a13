"""Stochastic gradient descent with momentum: torch's fused kernel."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.errors import ConfigError
from uer.optimizers.base import Named, Optimizer, parameter_groups, require, require_beta


class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Args:
        momentum: decay of the running sum of gradients; 0: none.
        nesterov: look ahead along the momentum.
        weight_decay: share of a weight that joins its gradient (not decoupled).

    Raises:
        ConfigError: a constant out of its range, or nesterov without momentum.
    """

    def __init__(
        self,
        *,
        momentum: Annotated[float, "decay of the running sum of gradients; 0: none"] = 0.9,
        nesterov: Annotated[bool, "look ahead along the momentum"] = False,
        weight_decay: Annotated[float, "share of a weight that joins its gradient"] = 0.0,
    ) -> None:
        require_beta("momentum", momentum)
        require(weight_decay=(weight_decay, weight_decay >= 0, "must not be negative"))
        if nesterov and not momentum:
            raise ConfigError(["nesterov: goes with a momentum above 0."])
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        return _Sgd(
            parameter_groups(groups, self.weight_decay),
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=True,
        )


class _Sgd(torch.optim.SGD):
    """Momentum starts at zero; torch's starts as memory that a bad first update would not fill."""

    elementwise = True

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for param in group["params"]:
                if group["momentum"] and param.grad is not None and not self.state[param]:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        super().step(closure)
