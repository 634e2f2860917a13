"""A running mean of the weights, often a better model than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from uer.errors import ConfigError
from uer.training.lazy import Lazies, lazy

_DIVIDED = ("full_tensor", "ds_id")  # what parameters have whose parts lie in several processes


class WeightAverage:
    """Exponential moving average of a model's trainable parameters, on their device.

    A young average forgets faster: update t uses the smaller of ``decay`` and (1 + t) / (10 + t),
    or the initial weights would stay in it for long.

    Args:
        model: whose weights.
        decay: share of the average that an update keeps.

    Raises:
        ConfigError: the engine divides the parameters among processes, or keeps their exact values
            to itself.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if any(hasattr(p, sign) for p in model.parameters() for sign in _DIVIDED):
            raise ConfigError(
                [f"--ema_decay {decay}: goes with engines in which each process has all weights."]
            )
        rounded = sorted({str(p.dtype) for p in model.parameters() if p.dtype != torch.float32})
        if rounded:
            raise ConfigError(
                [
                    f"--ema_decay {decay}: the engine trains with weights in {', '.join(rounded)}, "
                    "too coarse for a running mean; use --engine ddp, or --precision bf16 without "
                    "the block of that name in DeepSpeed's file."
                ]
            )
        self._decay = decay
        self._pairs = [
            (parameter.detach().clone(), parameter)
            for parameter in model.parameters()
            if parameter.requires_grad
        ]
        means = {id(parameter): mean for mean, parameter in self._pairs}
        self._means = {  # tied parameters under all their names
            name: means[id(parameter)]
            for name, parameter in model.named_parameters(remove_duplicate=False)
            if id(parameter) in means
        }

    @torch.no_grad()
    def update(self, step: int, skipped: torch.Tensor) -> None:
        """Follow update ``step`` (from 1), unless it was skipped ([] 1, else 0)."""
        share = (1 - min(self._decay, (1 + step) / (10 + step))) * (1 - skipped)
        for mean, parameter in self._pairs:
            mean.lerp_(parameter, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """In the block the model has the averages; afterwards its weights, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in self._pairs:
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)

    def weights(self, weights: Lazies) -> Lazies:
        """A model's ``state_dict`` with the averages in place of its parameters."""
        return {**weights, **lazy(self._means)}

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `weights` returned; without any: from the model's present weights."""
        for name, mean in self._means.items():
            if name in weights:
                mean.copy_(weights[name])
        if not weights:
            for mean, parameter in self._pairs:
                mean.copy_(parameter)
