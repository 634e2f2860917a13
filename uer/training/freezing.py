"""Which parameters are trained: chosen by patterns of their names.

A pattern is a name in which ``*`` stands for anything. It also means everything inside a module of
that name: ``embedding`` and ``encoder.layers.0`` are patterns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from uer.errors import ConfigError, did_you_mean

_log = logging.getLogger(__name__)
_WRAPPED = ".base_layer."  # what peft puts between a linear map's name and its own tensors


def plain_name(name: str) -> str:
    """A parameter's name as it is without adapters."""
    return name.replace(_WRAPPED, ".")


def matching(names: Iterable[str], patterns: Sequence[str], flag: str) -> list[str]:
    """The names that a pattern matches, in their order.

    Args:
        names: of parameters or modules.
        patterns: see above.
        flag: whose patterns they are, for the message.

    Raises:
        ConfigError: all patterns that match nothing.
    """
    known = list(names)
    parts = {pattern: [name for name in known if _matches(name, pattern)] for pattern in patterns}
    problems = [
        f"--{flag} {pattern}: matches nothing{_nearest(pattern, known)}"
        for pattern, found in parts.items()
        if not found
    ]
    if problems:
        raise ConfigError(problems)
    found = {name for some in parts.values() for name in some}
    return [name for name in known if name in found]


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Leave parameters as they are: no gradient, no state, no update.

    A module that is frozen as a whole computes as in evaluation, without dropout.

    Args:
        model: its parameters are changed in place.
        patterns: of their names; a tensor that has several names is frozen by any of them.

    Raises:
        ConfigError: a pattern matches no parameter, or nothing is left to train.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    plain = {plain_name(name): parameter for name, parameter in named.items()}
    frozen = matching(plain, patterns, "freeze")
    for name in frozen:
        plain[name].requires_grad_(False)
    for module in _frozen_whole(model):
        _keep_evaluating(module)
    ids = {id(plain[name]) for name in frozen}
    also = [name for name in plain if id(plain[name]) in ids and name not in frozen]
    if also:
        _log.info("--freeze: the same tensors are frozen as %s, too", ", ".join(also))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError([f"--freeze {' '.join(patterns)}: nothing is left to train."])


def trained_line(model: nn.Module) -> str:
    """How many parameters are trained, for the log."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    everything = sum(size for size, _ in sizes)
    trained = sum(size for size, trains in sizes if trains)
    share = 100 * trained / everything
    return f"{trained:,} of {everything:,} parameters are trained ({share:.3g} %)"


def _frozen_whole(module: nn.Module) -> Iterator[nn.Module]:
    """The largest modules that have parameters, none of which is trained."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield module
        return
    for child in module.children():
        yield from _frozen_whole(child)


def _keep_evaluating(module: nn.Module) -> None:
    """`Module.train` of what holds the module changes nothing in it."""
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _nearest(pattern: str, known: Sequence[str]) -> str:
    parts = {name.rsplit(".", depth)[0] for name in known for depth in range(name.count(".") + 1)}
    hint = did_you_mean(pattern, sorted(parts))
    return hint if hint != "." else f"; names are such as {', '.join(known[:3])}."
