"""What turns gradients into updates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from uer.errors import ConfigError
from uer.registry import Registry

Named = list[tuple[str, nn.Parameter]]


class Optimizer(ABC):
    """A choice of optimizer with its constants; `build` makes torch's object."""

    @abstractmethod
    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """Make the optimizer.

        Its ``step`` has to honour two attributes that an engine sets before each call, as torch's
        fused optimizers do (``_step_supports_amp_scaling``): gradients are divided by the tensor
        ``grad_scale``, and where the tensor ``found_inf`` is 1 nothing changes. That is how
        clipping costs no pass over the gradients, and how a bad update is skipped without the
        host waiting for the device. All entries of its state are tensors.

        Args:
            groups: the model's parameters by name, with and without weight decay.
            learning_rate: the peak; each update calls `set_learning_rate`.
            hidden: names of the parameters of hidden layers, for optimizers that treat their
                matrices in a way of their own.

        Raises:
            ConfigError: the optimizer cannot train such a model.
        """


def parameter_groups(groups: tuple[Named, Named], weight_decay: float) -> list[dict[str, Any]]:
    """Torch's parameter groups, names included; a group without parameters is left out."""
    decays = (weight_decay, 0.0)
    return [
        {"params": params, "weight_decay": decay}
        for params, decay in zip(groups, decays, strict=True)
        if params
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of the next update; a group's ``rate`` is its factor (1 if it has none)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate", 1.0)


def require(**rules: tuple[float, bool, str]) -> None:
    """Check constants.

    Args:
        rules: by name a value, whether it is good, and what a good one is.

    Raises:
        ConfigError: those that are not good, or not finite.
    """
    problems = [
        f"{name} {value}: {rule}."
        for name, (value, holds, rule) in rules.items()
        if not (holds and math.isfinite(value))
    ]
    if problems:
        raise ConfigError(problems)


def require_beta(name: str, beta: float) -> None:
    """Check the decay of a running mean.

    Raises:
        ConfigError: it does not lie between 0 and 1, 1 excluded.
    """
    require(**{name: (beta, 0 <= beta < 1, "must lie between 0 and 1, 1 excluded")})


def require_adam(betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Check the constants of Adam and its relatives.

    Raises:
        ConfigError: one is out of its range.
    """
    require_beta("beta1", betas[0])
    require_beta("beta2", betas[1])
    require(
        eps=(eps, eps > 0, "must be a positive number"),
        weight_decay=(weight_decay, weight_decay >= 0, "must not be negative"),
    )


optimizers: Registry[Optimizer] = Registry("optimizer", Optimizer, "uer.optimizers")
