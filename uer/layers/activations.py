"""Activation functions by their configuration names (`uer.glossary.HiddenAct`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

_STEEPNESS = 1.702

Activation = Callable[[torch.Tensor], torch.Tensor]


def _linear(hidden: torch.Tensor) -> torch.Tensor:
    return hidden


def _quick_gelu(hidden: torch.Tensor) -> torch.Tensor:
    """CLIP's x σ(1.702 x): a logistic function in the place of the normal distribution's."""
    return F.silu(hidden * _STEEPNESS) / _STEEPNESS  # one kernel for the product and σ


ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,  # exact, with erf; on CPU also the faster one
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "linear": _linear,
}
