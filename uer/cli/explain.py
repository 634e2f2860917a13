"""`uer explain`: what a part does and which keys it asks for."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from uer.cli.flags import POSITIONAL
from uer.cli.list import find_registry
from uer.errors import UserError, did_you_mean
from uer.model import Model
from uer.registry import Registry, import_registries, load_plugins
from uer.signature import Default, Parameter, parameters


def explain(
    *,
    name: Annotated[str, "name of a part or of a configuration key", POSITIONAL],
    kind: Annotated[str | None, "the kind of part, where several have the name"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Show a part's text, its parameters and its file, or who asks for a configuration key.

    Facts come from the data or from the part before and are no keys. Parts are chosen by the key
    of their parameter's name.
    """
    load_plugins(plugin)
    registries = import_registries() if kind is None else [find_registry(kind)]
    texts = [_part(one.kind, one.get(name), name) for one in registries if name in one.names()]
    if not texts or kind is None:
        texts += _key(name)
    if not texts:
        known = {*(n for one in registries for n in one.names()), *(p.name for _, p in _asked())}
        raise UserError(
            f"no {kind or 'part'} and no configuration key is called "
            f"'{name}'{did_you_mean(name, known)} `uer list` names the parts."
        )
    sys.stdout.write("\n".join(texts))


def _part(kind: str, part: type, name: str) -> str:
    lines = [f"{kind} '{name}': {part.__module__}.{part.__qualname__}", f"{inspect.getfile(part)}"]
    lines += ["", inspect.getdoc(part) or "", ""]
    for what, heading in (("key", "keys"), ("part", "parts"), ("given", "facts")):
        some = [one for one in parameters(part).values() if one.kind == what]
        if some:
            lines += [f"{heading}:", *map(_line, some)]
    return "\n".join(lines) + "\n"


def _line(parameter: Parameter) -> str:
    text = f"  {parameter.name}: {_type(parameter)}"
    if not parameter.required:
        default = parameter.default
        text += f" = {default.name if isinstance(default, Default) else default}"
    return f"{text}  {parameter.meaning}".rstrip()


def _type(parameter: Parameter) -> str:
    """What may be written for a parameter."""
    if parameter.kind != "part":
        return _shown(parameter.hint)
    registry = Registry.of(parameter.hint)
    text = registry.kind if registry else parameter.hint.__name__.lower()
    text = f"list of {text}" if parameter.many else text
    return f"{text} | None" if parameter.optional else text


def _shown(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def _key(name: str) -> list[str]:
    """The meanings of a key, each with those who ask for it; there is one, as a rule."""
    meanings: dict[str, list[str]] = {}
    for title, parameter in _asked():
        if parameter.name == name:
            text = f"key '{name}': {_type(parameter)}  {parameter.meaning}".rstrip()
            meanings.setdefault(text, []).append(f"  {title}: {_default(parameter)}")
    return ["\n".join([text, *askers]) + "\n" for text, askers in meanings.items()]


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return f"{default.name if isinstance(default, Default) else default} by default"


def _asked() -> Iterator[tuple[str, Parameter]]:
    """Every key that somebody asks for, with who does."""
    askers: list[tuple[str, type]] = [("model", Model)]
    for registry in import_registries():
        askers += [(f"{registry.kind} '{name}'", registry.get(name)) for name in registry.names()]
    for title, part in askers:
        for parameter in parameters(part).values():
            if parameter.kind != "given":
                yield title, parameter
