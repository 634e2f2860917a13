"""LAMB: Adam whose steps follow the size of each weight tensor (https://arxiv.org/abs/1904.00962)."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.optimizers._step import OwnOptimizer, adam_moments, count
from uer.optimizers.base import Named, Optimizer, parameter_groups, require_adam


class Lamb(Optimizer):
    """Adam for very large batches: steps are in proportion to the norm of each weight tensor.

    Parameters without weight decay (norms, biases) take plain Adam steps, as in the authors' own
    implementation.

    Args:
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squared gradients.
        eps: added to the root of the mean square.
        weight_decay: share of a weight that joins its update before that is scaled.

    Raises:
        ConfigError: a constant out of its range.
    """

    def __init__(
        self,
        *,
        beta1: Annotated[float, "decay of the mean of gradients"] = 0.9,
        beta2: Annotated[float, "decay of the mean of squared gradients"] = 0.999,
        eps: Annotated[float, "added to the root of the mean square"] = 1e-6,
        weight_decay: Annotated[float, "share of a weight that joins its update"] = 0.01,
    ) -> None:
        require_adam((beta1, beta2), eps, weight_decay)
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        params = parameter_groups(groups, self.weight_decay)
        spared = {name for name, _ in groups[1]}
        for group in params:
            group["follows_weights"] = not spared.intersection(n for n, _ in group["params"])
        return _Lamb(params, lr=learning_rate, betas=self.betas, eps=self.eps)


class _Lamb(OwnOptimizer):
    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """See `OwnOptimizer.update`."""
        state, (beta1, beta2) = self.state[param], group["betas"]
        number = count(state, bad)
        mean, square = adam_moments(state, grad, bad, group["betas"])
        mean, square = mean / _weight_so_far(beta1, number), square / _weight_so_far(beta2, number)
        change = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * param
        rate = torch.where(bad, 0.0, torch.full_like(number, group["lr"]))
        if group["follows_weights"]:
            rate = rate * _trust(param.norm(), change.norm())
        param.sub_(rate * change)


def _trust(weights: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """The ratio of two norms; 1 where either is 0."""
    known = (weights > 0) & (change > 0)
    return torch.where(known, weights / torch.where(known, change, 1.0), 1.0)


def _weight_so_far(beta: float, number: torch.Tensor) -> torch.Tensor:
    """1 - beta^number, exact for a beta near 1."""
    return -torch.expm1(number * (math.log(beta) if beta else -math.inf))
