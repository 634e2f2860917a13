"""Stochastic gradient descent with momentum: torch's fused kernel where it can be used."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.errors import ConfigError
from uer.optimizers._step import OwnOptimizer
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
        params = parameter_groups(groups, self.weight_decay)
        constants: dict[str, Any] = {"momentum": self.momentum, "nesterov": self.nesterov}
        if any(hasattr(p, "full_tensor") for group in groups for _, p in group):
            return _DividedSgd(params, lr=learning_rate, **constants)
        return _Sgd(params, lr=learning_rate, **constants, fused=True)


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


class _DividedSgd(OwnOptimizer):
    """The same for tensors divided among processes, which torch's fused kernel does not take."""

    elementwise = True

    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """See `OwnOptimizer.update`."""
        momentum, good = group["momentum"], 1 - bad.float()
        change = grad + group["weight_decay"] * good * param
        if momentum:
            state = self.state[param]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(param)
            total = state["momentum_buffer"].mul_(torch.where(bad, 1.0, momentum)).add_(change)
            change = change + momentum * total if group["nesterov"] else total
        param.sub_(group["lr"] * good * change)
