"""What turns gradients into updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from uer.registry import Registry

Named = list[tuple[str, nn.Parameter]]


class Optimizer(ABC):
    """A choice of optimizer with its constants; `build` makes torch's object."""

    @abstractmethod
    def build(self, groups: tuple[Named, Named], learning_rate: float) -> torch.optim.Optimizer:
        """Make the optimizer.

        Its ``step`` has to honour two attributes that an engine sets before each call, as torch's
        fused optimizers do (``_step_supports_amp_scaling``): gradients are divided by the tensor
        ``grad_scale``, and where the tensor ``found_inf`` is 1 nothing changes. That is how
        clipping costs no pass over the gradients, and how a bad update is skipped without the
        host waiting for the device. All entries of its state are tensors.

        Args:
            groups: the model's parameters by name, with and without weight decay.
            learning_rate: the peak; each update sets the groups' ``lr``.
        """


def parameter_groups(groups: tuple[Named, Named], weight_decay: float) -> list[dict[str, Any]]:
    """Torch's parameter groups, names included; a group without parameters is left out."""
    decays = (weight_decay, 0.0)
    return [
        {"params": params, "weight_decay": decay}
        for params, decay in zip(groups, decays, strict=True)
        if params
    ]


optimizers: Registry[Optimizer] = Registry("optimizer", Optimizer, "uer.optimizers")
