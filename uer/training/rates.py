"""Learning rates that grow from the first layer to the heads (https://arxiv.org/abs/1801.06146)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch

from uer.optimizers.base import Optimizer
from uer.training.engine import Trainable
from uer.training.settings import Settings


def make_optimizer(
    optimizer: Optimizer, model: Trainable, settings: Settings
) -> torch.optim.Optimizer:
    """The optimizer of a model's parameters, with ``layerwise_decay``."""
    made = optimizer.build(model.decay_groups(), settings.learning_rate, model.hidden())
    if settings.layerwise_decay != 1:
        _decay_by_depth(made, model.stages(), settings.layerwise_decay)
    return made


def _decay_by_depth(optimizer: torch.optim.Optimizer, stages: list[set[str]], decay: float) -> None:
    """Divide an optimizer's groups by depth; it has no state yet.

    The heads, and whatever else is in no stage, keep their rate; the last stage has ``decay`` times
    as much, the one before ``decay`` times that, and so on.
    """
    factors: dict[str, float] = {}
    for height, names in enumerate(reversed(stages), start=1):
        factors |= dict.fromkeys(names, decay**height)  # a shared one counts where it is first
    optimizer.param_groups[:] = [
        part for group in optimizer.param_groups for part in _divided(group, factors)
    ]


def _divided(group: dict[str, Any], factors: dict[str, float]) -> Iterator[dict[str, Any]]:
    pairs = zip(group["param_names"], group["params"], strict=True)
    by_factor = sorted(pairs, key=lambda pair: factors.get(pair[0], 1.0))
    for factor, some in groupby(by_factor, key=lambda pair: factors.get(pair[0], 1.0)):
        names, params = zip(*some, strict=True)
        own = {"params": list(params), "param_names": list(names)}
        yield {**group, **own, "rate": group.get("rate", 1.0) * factor}
