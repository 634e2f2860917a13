"""Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101).

With bias correction this is torch's fused AdamW. Without it, it is what BERT was trained with and
what the predecessors do: moments uncorrected, and decay applied after the step.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch

from uer.errors import ConfigError
from uer.optimizers.base import Named, Optimizer, parameter_groups


class AdamW(Optimizer):
    """Adam with decoupled weight decay.

    Args:
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squared gradients.
        eps: added to the root of the mean square.
        weight_decay: share of a weight, times the learning rate, that an update takes away.
        correct_bias: divide the means by what they lack while they are young.

    Raises:
        ConfigError: a constant out of its range.
    """

    def __init__(
        self,
        *,
        beta1: Annotated[float, "decay of Adam's mean of gradients"] = 0.9,
        beta2: Annotated[float, "decay of Adam's mean of squared gradients"] = 0.999,
        eps: Annotated[float, "added to the root of Adam's mean square"] = 1e-6,
        weight_decay: Annotated[float, "weight decay per update and unit of learning rate"] = 0.01,
        correct_bias: Annotated[bool, "Adam's bias correction; BERT was trained without"] = True,
    ) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= beta < 1:
                raise ConfigError([f"{name} {beta}: must lie between 0 and 1, 1 excluded."])
        if not (math.isfinite(eps) and eps > 0):
            raise ConfigError([f"eps {eps}: must be a positive number."])
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise ConfigError([f"weight_decay {weight_decay}: must not be negative."])
        self.betas, self.eps = (beta1, beta2), eps
        self.weight_decay, self.correct_bias = weight_decay, correct_bias

    def build(self, groups: tuple[Named, Named], learning_rate: float) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        params = parameter_groups(groups, self.weight_decay)
        if not self.correct_bias:
            return _UncorrectedAdamW(params, lr=learning_rate, betas=self.betas, eps=self.eps)
        return torch.optim.AdamW(
            params, lr=learning_rate, betas=self.betas, eps=self.eps, fused=True
        )


class _UncorrectedAdamW(torch.optim.Optimizer):
    """AdamW without bias correction; folding it into lr and eps would need the host to know t."""

    _step_supports_amp_scaling = True
    elementwise = True
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
                    self._update(param, param.grad, group)

    def _update(self, param: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> None:
        if not self.state[param]:
            self.state[param]["exp_avg"] = torch.zeros_like(param)
            self.state[param]["exp_avg_sq"] = torch.zeros_like(param)
        mean, square = self.state[param]["exp_avg"], self.state[param]["exp_avg_sq"]
        bad = torch.zeros((), device=param.device) if self.found_inf is None else self.found_inf
        if self.grad_scale is not None:
            grad = grad / self.grad_scale
        # A bad update has a zero gradient, a zero rate and decays of 1: nothing changes.
        grad = torch.where(bad > 0, torch.zeros_like(grad), grad)
        rate = group["lr"] * (1 - bad)
        beta1, beta2 = group["betas"]
        mean.mul_(torch.where(bad > 0, 1.0, beta1)).add_(grad, alpha=1 - beta1)
        square.mul_(torch.where(bad > 0, 1.0, beta2)).addcmul_(grad, grad, value=1 - beta2)
        param.sub_(rate * mean / (square.sqrt() + group["eps"]))
        param.mul_(1 - rate * group["weight_decay"])
