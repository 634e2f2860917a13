"""Adafactor: the second moments of a matrix as a row and a column (https://arxiv.org/abs/1804.04235).

By default it takes its step size from the learning rate and the schedule, and steps do not follow
the size of the weights, as in the predecessors. The published algorithm: ``scale_parameter: true``,
``relative_step: true``, ``learning_rate: 1``, ``scheduler: constant``, ``weight_decay: 0``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.optimizers._step import OwnOptimizer, count
from uer.optimizers.base import Named, Optimizer, parameter_groups, require, require_beta


class Adafactor(Optimizer):
    """Adam with little memory: the squared gradients of a matrix are kept as a row and a column.

    Tensors of more than two dimensions are stacks of matrices, their last two dimensions; vectors
    keep all of their squared gradients.

    Args:
        beta1: decay of the mean of updates; 0: none is kept.
        beta2_decay: the mean of squared gradients takes the share t^-beta2_decay of update t.
        eps: added to squared gradients.
        clip_threshold: an update whose root mean square is larger is scaled down to it.
        weight_decay: share of a weight, times the learning rate, that an update takes away.
        scale_parameter: the step is a share of the weights' root mean square.
        least_scale: with scale_parameter, weights count as at least this large.
        relative_step: the learning rate is a factor of min(0.01, 1/√t).

    Raises:
        ConfigError: a constant out of its range.
    """

    def __init__(
        self,
        *,
        beta1: Annotated[float, "decay of the mean of updates; 0: none is kept"] = 0.0,
        beta2_decay: Annotated[
            float, "update t enters the mean of squared gradients with the share t^-beta2_decay"
        ] = 0.8,
        eps: Annotated[float, "added to squared gradients"] = 1e-30,
        clip_threshold: Annotated[float, "largest root mean square of an update"] = 1.0,
        weight_decay: Annotated[float, "weight decay per update and unit of learning rate"] = 0.01,
        scale_parameter: Annotated[bool, "steps are a share of the weights' size"] = False,
        least_scale: Annotated[
            float, "with scale_parameter: weights count as at least this large"
        ] = 1e-3,
        relative_step: Annotated[
            bool, "learning rates are factors of min(0.01, 1/√t) at update t"
        ] = False,
    ) -> None:
        require_beta("beta1", beta1)
        require(
            beta2_decay=(beta2_decay, 0 < beta2_decay <= 1, "must lie between 0 and 1, 0 excluded"),
            eps=(eps, eps > 0, "must be a positive number"),
            clip_threshold=(clip_threshold, clip_threshold > 0, "must be a positive number"),
            weight_decay=(weight_decay, weight_decay >= 0, "must not be negative"),
            least_scale=(least_scale, least_scale > 0, "must be a positive number"),
        )
        self.weight_decay = weight_decay
        self.constants = {
            "beta1": beta1,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "least_scale": least_scale if scale_parameter else None,
            "relative_step": relative_step,
        }

    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        params = parameter_groups(groups, self.weight_decay)
        return _Adafactor(params, lr=learning_rate, **self.constants)


class _Adafactor(OwnOptimizer):
    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """See `OwnOptimizer.update`."""
        state = self.state[param]
        number = count(state, bad)
        share = torch.where(bad, 0.0, number ** -group["beta2_decay"])
        change = grad * _inverse_root(state, grad.square() + group["eps"], share)
        change = change / (_rms(change) / group["clip_threshold"]).clamp(min=1.0)
        rate = self._rate(param, number, group)
        # In a bad first update the means are still zero and the change is not a number.
        change = torch.where(bad, torch.zeros_like(change), change * rate)
        if beta1 := group["beta1"]:
            change = _mean(state, change, torch.where(bad, 1.0, beta1), 1 - beta1)
        param.mul_(1 - torch.where(bad, 0.0, rate * group["weight_decay"]))
        param.sub_(torch.where(bad, torch.zeros_like(change), change))

    @staticmethod
    def _rate(param: torch.Tensor, number: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        rate = torch.full_like(number, group["lr"])
        if group["relative_step"]:
            rate = rate * number.rsqrt().clamp(max=1e-2)
        if group["least_scale"] is not None:
            rate = rate * _rms(param).clamp(min=group["least_scale"])
        return rate


def _inverse_root(
    state: dict[str, torch.Tensor], square: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """One over the root of the mean square of each weight, after the mean took ``square`` in."""
    if square.dim() < 2:
        return _follow(state, "square", square, share).rsqrt()
    row = _follow(state, "row", square.mean(-1), share)
    column = _follow(state, "column", square.mean(-2), share)
    rows = (row / row.mean(-1, keepdim=True)).rsqrt()
    return rows.unsqueeze(-1) * column.rsqrt().unsqueeze(-2)


def _follow(
    state: dict[str, torch.Tensor], name: str, value: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    if name not in state:
        state[name] = torch.zeros_like(value)
    elif type(state[name]) is not type(value):  # loaded whole, trained divided among processes
        state[name] = torch.zeros_like(value) + state[name]
    return state[name].lerp_(value, share)


def _mean(
    state: dict[str, torch.Tensor], value: torch.Tensor, keep: torch.Tensor, share: float
) -> torch.Tensor:
    if "mean" not in state:
        state["mean"] = torch.zeros_like(value)
    return state["mean"].mul_(keep).add_(value, alpha=share)


def _rms(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.norm() / tensor.numel() ** 0.5
