"""`uer list`: the parts that a configuration or a flag can choose."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from uer.cli.flags import POSITIONAL
from uer.errors import UserError, did_you_mean
from uer.registry import Registry, import_registries, load_plugins


def list_parts(
    *,
    kind: Annotated[str | None, "one kind of part, e.g. encoder", POSITIONAL] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Name the parts that can be chosen, by kind, each with what it is.

    The part's file is read, not imported: what a part depends on need not be installed.
    """
    load_plugins(plugin)
    registries = import_registries()
    chosen = registries if kind is None else [find_registry(kind)]
    sys.stdout.write("\n".join(_listed(registry) for registry in chosen))


def find_registry(kind: str) -> Registry[Any]:
    """The registry of a kind, which may be given as its folder's name, too (``encoders``).

    Raises:
        UserError: there is none.
    """
    registries = import_registries()
    for registry in registries:
        if kind in (registry.kind, folder_name(registry)):
            return registry
    known = [folder_name(registry) for registry in registries]
    raise UserError(
        f"there is no kind of part '{kind}'{did_you_mean(kind, known)} Known: {', '.join(known)}."
    )


def folder_name(registry: Registry[Any]) -> str:
    """What the folder of a registry is called: ``encoders``."""
    return registry.package.rpartition(".")[2]


def _listed(registry: Registry[Any]) -> str:
    names = registry.names()
    width = max(map(len, names), default=0)
    lines = [f"  {name:<{width}}  {registry.summary(name)}".rstrip() for name in names]
    return "\n".join([f"{folder_name(registry)} ({registry.kind})", *lines, ""])
