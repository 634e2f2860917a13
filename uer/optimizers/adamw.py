"""Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101).

With bias correction this is torch's fused AdamW. Without it, it is what BERT was trained with and
what the predecessors do: moments uncorrected, and decay applied after the step. That is fused on a
GPU with NVIDIA apex.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.optimizers._apex import ApexAdamW, fused_adam
from uer.optimizers._step import OwnOptimizer, adam_moments
from uer.optimizers.base import Named, Optimizer, parameter_groups, require_adam


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
        require_adam((beta1, beta2), eps, weight_decay)
        self.betas, self.eps = (beta1, beta2), eps
        self.weight_decay, self.correct_bias = weight_decay, correct_bias

    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        params = parameter_groups(groups, self.weight_decay)
        constants: dict[str, Any] = {"lr": learning_rate, "betas": self.betas, "eps": self.eps}
        if self.correct_bias:
            return torch.optim.AdamW(params, **constants, fused=True)
        devices = {p.device.type for group in groups for _, p in group}
        if devices == {"cuda"} and (kernel := fused_adam()) is not None:
            return ApexAdamW(kernel, params, **constants)
        return _UncorrectedAdamW(params, **constants)


class _UncorrectedAdamW(OwnOptimizer):
    """AdamW without bias correction; folding it into lr and eps would need the host to know t."""

    elementwise = True

    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """See `OwnOptimizer.update`."""
        mean, square = adam_moments(self.state[param], grad, bad, group["betas"])
        rate = group["lr"] * (1 - bad.float())
        param.sub_(rate * mean / (square.sqrt() + group["eps"]))
        param.mul_(1 - rate * group["weight_decay"])
