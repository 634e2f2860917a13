"""Tensors by name that may lie in several processes, brought together one at a time.

What an engine divides is never whole in more than one piece at once: whoever wants all of it, to
write or to copy it, goes through the names in their order and asks for one tensor after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class Lazy:
    """A tensor that is not there before it is asked for. Tied names share one.

    Args:
        shape: of the whole.
        dtype: of its numbers.
        gather: brings it together: the whole in the main process, on any device; elsewhere
            something that is of no use. Together.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    gather: Callable[[], torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


Lazies = Mapping[str, Lazy]


def lazy(tensors: Mapping[str, torch.Tensor]) -> dict[str, Lazy]:
    """Tensors of this process as what may lie in several; two names of one tensor share it."""
    found: dict[str, Lazy] = {}
    for group in names_by_tensor(tensors):
        tensor = tensors[group[0]].detach()
        one = Lazy(tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor)
        found |= dict.fromkeys(group, one)
    return found


def whole(lazies: Lazies) -> dict[str, torch.Tensor]:
    """All tensors; what is given elsewhere than in the main process is of no use. Together."""
    found: dict[int, torch.Tensor] = {}
    for one in lazies.values():
        if id(one) not in found:
            found[id(one)] = one.gather()
    return {name: found[id(one)] for name, one in lazies.items()}


def untie(lazies: Lazies) -> tuple[dict[str, Lazy], dict[str, str]]:
    """Each tensor once.

    Returns:
        The tensors by the first of their names, and for the other names the first.
    """
    owners: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for name in sorted(lazies):
        first = owners.setdefault(id(lazies[name]), name)
        if first != name:
            aliases[name] = first
    return {name: lazies[name] for name in owners.values()}, aliases


def names_by_tensor(weights: Mapping[str, torch.Tensor]) -> Iterator[list[str]]:
    """Names grouped by the tensor they stand for, sorted."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in sorted(weights):
        tensor = weights[name]
        stored = tensor.numel() and tensor.device.type != "meta"
        place = tensor.data_ptr() if stored else id(tensor)
        key = (place, tensor.device, tuple(tensor.shape), tensor.stride(), tensor.dtype)
        groups.setdefault(key, []).append(name)
    yield from groups.values()
