"""What a configuration of ours amounts to, whatever it leaves to defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from uer.interop.legacy.sections import STREAMS
from uer.layers.drop_path import DropPath
from uer.layers.dropout import Dropout
from uer.layers.layer_drop import LayerDrop
from uer.model import Model
from uer.planned import Plan
from uer.signature import parameters

# What changes training only, or guards only.
_ASIDE = {"training", "dropout", "label_smoothing", "loss_weight", "max_seq_length"}


def values_of(plan: Plan[Any]) -> dict[str, Any]:
    """Every key and choice of a plan with its value, defaults included.

    Returns:
        Values by key, and by ``<slot>_<key>``; where parts differ, the key alone is that of the
        encoder's first part; ``<key of a part>.<key>`` is that of this part. What stands in a
        stream is also found below its name: ``stream_1.<key>``, ``stream_1.<slot>_<key>``. A part
        stands for its name, a list of parts for a list of names. What has no value is not there.
    """
    found: dict[str, Any] = {}
    for one in sorted(_values(plan), key=lambda value: value.slot != "encoder"):
        if one.value is not None:
            names = [one.key, f"{one.slot}_{one.key}", f"{one.owner}.{one.key}"]
            if one.stream:
                names += [f"{one.stream}.{name}" for name in names[:2]]
            for name in names:
                found.setdefault(name, one.value)
    return found


def differences(one: Model, other: Model) -> list[str]:
    """In what two models would compute differently, given the same weights.

    Args:
        one: may live on the device ``meta``.
        other: likewise.

    Returns:
        A clause for each difference; empty: they are the same function.
    """
    found = list(_of_modules("", one, other))
    if not found and _ties(one) != _ties(other):
        found.append("other parameters are tied")
    return found


class _Value(NamedTuple):
    """A key or choice: where it stands, and what it is."""

    slot: str
    owner: str
    stream: str
    key: str
    value: Any


def _values(plan: Plan[Any], owner: str = "", stream: str = "") -> Iterator[_Value]:
    for key, parameter in parameters(plan.part).items():
        if parameter.kind == "key":
            default = None if parameter.required else parameter.default
            yield _Value(plan.slot, owner, stream, key, plan.values.get(key, default))
        elif parameter.kind == "part":
            chosen = plan.parts[key]
            slot = plan.slot or key
            if isinstance(chosen, list):
                yield _Value(slot, owner, stream, key, [one.name for one in chosen])
            elif chosen is not None:
                yield _Value(slot, owner, stream, key, chosen.name)
            for one in chosen if isinstance(chosen, list) else [chosen]:
                if one is not None:
                    yield from _values(one, key, key if key in STREAMS else stream)


def _of_modules(path: str, one: nn.Module, other: nn.Module) -> Iterator[str]:
    place = path or "the model"
    if type(one) is not type(other):
        yield f"{place} is {type(one).__name__}, not {type(other).__name__}"
        return
    if isinstance(one, Dropout | DropPath | LayerDrop):
        return
    for name in sorted(_plain(one).keys() | _plain(other).keys()):
        own, their = (getattr(module, name, None) for module in (one, other))
        if not _equal(own, their):
            yield f"{place}: {name} is {_shown(own)}, not {_shown(their)}"
    shapes = [{n: p.shape for n, p in m.named_parameters(recurse=False)} for m in (one, other)]
    yield from _compared(f"{place}: the shape of ", *shapes)
    inner = [dict(module.named_children()) for module in (one, other)]
    yield from _names(place, *inner)
    for name in inner[0].keys() & inner[1].keys():
        yield from _of_modules(f"{path}.{name}".lstrip("."), inner[0][name], inner[1][name])


def _plain(module: nn.Module) -> dict[str, Any]:
    return {k: v for k, v in vars(module).items() if k[0] != "_" and k not in _ASIDE}


def _equal(one: Any, other: Any) -> bool:
    if torch.is_tensor(one) and torch.is_tensor(other):
        return one.shape == other.shape and torch.equal(one, other)
    return type(one) is type(other) and one == other


def _shown(value: Any) -> str:
    if torch.is_tensor(value):
        return f"a tensor {list(value.shape)}"
    return getattr(value, "__name__", repr(value))


def _compared(what: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            shapes = [list(some[name]) if name in some else None for some in (one, other)]
            yield f"{what}{name} is {shapes[0]}, not {shapes[1]}"


def _names(place: str, one: Iterable[str], other: Iterable[str]) -> Iterator[str]:
    own, their = list(one), list(other)
    for name in own:
        if name not in their:
            yield f"{place} has {name}"
    for name in their:
        if name not in own:
            yield f"{place} has no {name}"


def _ties(model: Model) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return sorted(sorted(names) for names in groups.values() if len(names) > 1)
