"""What the toolkit's own optimizers share: a step that never waits for the device."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch


class OwnOptimizer(torch.optim.Optimizer):
    """Honours ``grad_scale`` and ``found_inf`` as `uer.optimizers.base.Optimizer` asks.

    A bad update is computed like any other, with a zero gradient: `update` has to see to it that
    then nothing changes (a rate of 0, decays of 1).
    """

    _step_supports_amp_scaling = True
    elementwise = False  # every weight is updated on its own, so tensors may be cut anywhere
    grad_scale: torch.Tensor | None = None
    found_inf: torch.Tensor | None = None

    def __init__(self, params: list[dict[str, Any]], **constants: Any) -> None:
        super().__init__(params, constants)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        assert closure is None, "the training loop computes the gradients"
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.update(param, *self._gradient(param, param.grad), group)

    def _gradient(
        self, param: torch.Tensor, grad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient as it counts, and [] bool whether the update is a bad one."""
        found, scale = self.found_inf, self.grad_scale
        bad = (torch.zeros((), device=param.device) if found is None else found) > 0
        grad = grad if scale is None else grad / scale
        return torch.where(bad, torch.zeros_like(grad), grad), bad

    @abstractmethod
    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """Change a parameter.

        Args:
            param: of any shape.
            grad: of the same shape; zero in a bad update.
            bad: [] bool, nothing may change.
            group: its constants.
        """


def adam_moments(
    state: dict[str, torch.Tensor],
    grad: torch.Tensor,
    bad: torch.Tensor,
    betas: tuple[float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring Adam's means of gradients and squared gradients up to date; returns them."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(grad), torch.zeros_like(grad)
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    (beta1, beta2), one = betas, torch.ones((), device=grad.device)
    mean.mul_(torch.where(bad, one, beta1)).add_(grad, alpha=1 - beta1)
    square.mul_(torch.where(bad, one, beta2)).addcmul_(grad, grad, value=1 - beta2)
    return mean, square


def count(state: dict[str, torch.Tensor], bad: torch.Tensor) -> torch.Tensor:
    """[] the number of this update, from 1; bad ones do not count.

    Not called ``step``: torch would leave a tensor of that name on the CPU when it loads one.
    """
    if "updates" not in state:
        state["updates"] = torch.zeros((), device=bad.device)
    number = state["updates"] + 1
    state["updates"].copy_(torch.where(bad, state["updates"], number))
    return number
