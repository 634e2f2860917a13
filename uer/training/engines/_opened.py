"""Lets DeepSpeed see the tensors inside the objects that flow between modules.

ZeRO stage 3 brings a module's parameters together before its backward pass, through hooks on the
tensors that go in and out; it looks into tuples, lists and dictionaries only. So for the moment in
which its hooks run, an object such as `uer.states.States` is opened into a dictionary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class _Opened(dict[str, torch.Tensor]):
    """The tensors of an object by attribute; ``whole`` is the object."""

    whole: Any


def opened(model: nn.Module) -> Callable[[], None]:
    """Open what goes in and out of every module, for hooks that are added from now on.

    Returns:
        Call it when they have been added: what follows sees the objects again.
    """
    _hook(model, _open)
    return lambda: _hook(model, _close)


def _hook(model: nn.Module, change: Callable[[Any], Any]) -> None:
    for module in model.modules():
        module.register_forward_pre_hook(lambda _, inputs: tuple(map(change, inputs)))
        module.register_forward_hook(lambda _, inputs, output: change(output))


def _open(value: Any) -> Any:
    if isinstance(value, (torch.Tensor, tuple, list, dict)) or not hasattr(value, "__dict__"):
        return value
    found = {
        name: inner
        for name, inner in vars(value).items()
        if isinstance(inner, torch.Tensor) and inner.requires_grad
    }
    if not found:
        return value
    made = _Opened(found)
    made.whole = value
    return made


def _close(value: Any) -> Any:
    if not isinstance(value, _Opened):
        return value
    made = copy.copy(value.whole)
    for name, inner in value.items():
        object.__setattr__(made, name, inner)  # of a frozen dataclass, too
    return made
