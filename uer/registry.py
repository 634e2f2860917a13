"""Named choices: what a config value or a command-line flag can select.

A registry finds its parts by looking into one package folder: the file's stem is the part's name,
the file holds one class derived from the registry's base. Nothing is imported before it is chosen,
so a heavy dependency of one part costs the others nothing. Parts also come from installed packages
(entry points of the registry's group, e.g. ``uer.encoders``) and from files given by ``--plugin``.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from uer.errors import ConfigError, UserError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """The parts of one kind.

    Args:
        kind: what a part is called in messages, e.g. ``"encoder"``.
        base: the class every part derives from; its docstring is the contract.
        package: the package whose files are the parts, e.g. ``"uer.encoders"``; also the name of
            the entry-point group.
    """

    _by_base: ClassVar[dict[type, Registry[Any]]] = {}

    def __init__(self, kind: str, base: type[T], package: str) -> None:
        self.kind, self.base, self.package = kind, base, package
        self._plugins: dict[str, type[T]] = {}
        Registry._by_base[base] = self

    @staticmethod
    def of(base: object) -> Registry[Any] | None:
        """The registry whose base this is, or None."""
        return Registry._by_base.get(base) if isinstance(base, type) else None

    @staticmethod
    def all() -> list[Registry[Any]]:
        """Every registry that has been imported so far."""
        return list(Registry._by_base.values())

    def names(self) -> list[str]:
        """All names that can be chosen, sorted; nothing is imported."""
        return sorted({*self._files(), *self._entry_points, *self._plugins})

    def get(self, name: str) -> type[T]:
        """The class called ``name``.

        Raises:
            ConfigError: no part has this name, two own it, or the file holds no part of this kind.
        """
        owners = [
            origin
            for origin, found in (
                (f"the file {self._files().get(name)}", name in self._files()),
                (f"the entry point group {self.package}", name in self._entry_points),
                ("a plugin", name in self._plugins),
            )
            if found
        ]
        if not owners:
            known = self.names()
            listed = ", ".join(known) or "none"
            raise ConfigError(
                [f"no {self.kind} is called '{name}'{did_you_mean(name, known)} Known: {listed}."]
                if known
                else [f"no {self.kind} is called '{name}': there is none yet."]
            )
        if len(owners) > 1:
            raise ConfigError([f"the {self.kind} '{name}' has two owners: {' and '.join(owners)}."])
        if name in self._plugins:
            return self._plugins[name]
        if name in self._entry_points:
            return self._checked(self._entry_points[name].load(), name)
        return self._only_class(importlib.import_module(f"{self.package}.{name}"), name)

    def summary(self, name: str) -> str:
        """First line of a part's docstring, read without importing its file."""
        path = self._files().get(name)
        if path is None:
            return (inspect.getdoc(self.get(name)) or "").partition("\n")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_"]
        own = [n for n in classes if self.base.__name__ in map(ast.unparse, n.bases)] or classes
        return ((ast.get_docstring(own[-1]) if own else None) or "").partition("\n")[0]

    def register(self, name: str, part: type[T]) -> None:
        """Add a class from outside (a plugin) under a name nobody owns yet.

        Raises:
            ConfigError: the name is taken, or the class does not derive from the base.
        """
        if name in self.names() and self._plugins.get(name) is not part:
            raise ConfigError([f"the {self.kind} '{name}' exists already; rename the plugin."])
        self._plugins[name] = self._checked(part, name)

    def _files(self) -> dict[str, Path]:
        spec = importlib.util.find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        return {
            module.name: Path(folder) / f"{module.name}.py"
            for folder in folders
            for module in pkgutil.iter_modules([folder])
            if not module.ispkg and not module.name.startswith("_") and module.name != "base"
        }

    @functools.cached_property
    def _entry_points(self) -> dict[str, Any]:
        """Of the group, by name; looking through everything that is installed takes a while."""
        return {point.name: point for point in entry_points(group=self.package)}

    def _only_class(self, module: Any, name: str) -> type[T]:
        """The one public class of a module that derives from the base."""
        own = [part for part in _parts(module) if issubclass(part, self.base)]
        if len(own) != 1:
            found = ", ".join(part.__name__ for part in own) or "none"
            raise ConfigError(
                [
                    f"{module.__file__} must define exactly one {self.kind} "
                    f"(a class derived from {self.base.__name__}); found: {found}."
                ]
            )
        return self._checked(own[0], name)

    def _checked(self, part: Any, name: str) -> type[T]:
        if not (isinstance(part, type) and issubclass(part, self.base)):
            raise ConfigError(
                [f"the {self.kind} '{name}' is {part!r}, which is no {self.base.__name__}."]
            )
        return part


def load_plugin(path: str | Path) -> list[str]:
    """Register every part that a Python file defines, under the file's stem.

    Args:
        path: a Python file; each class in it that derives from a registered base becomes a choice.

    Returns:
        What was registered, as ``"target 'mine'"``.

    Raises:
        UserError: the file is missing, does not import, or defines no part.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"--plugin {file}: there is no such file.")
    import_registries()
    spec = importlib.util.spec_from_file_location(f"uer_plugin_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--plugin {file} cannot be imported: {error!r}.") from error
    done = []
    for part in _parts(module):
        for registry in Registry.all():
            if issubclass(part, registry.base):
                registry.register(file.stem, part)
                done.append(f"{registry.kind} '{file.stem}'")
    if not done:
        bases = ", ".join(sorted(registry.base.__name__ for registry in Registry.all()))
        raise UserError(
            f"--plugin {file} defines no part: derive a class from one of {bases} (uer.components)."
        )
    return done


# The modules that declare the toolkit's registries.
_DECLARING = (
    "uer.components",
    "uer.layers.base",
    "uer.tokenizers.base",
    "uer.processors.base",
    "uer.maskings.base",
    "uer.images.base",
    "uer.transforms.base",
    "uer.sounds.base",
    "uer.tasks.base",
    "uer.optimizers.base",
    "uer.schedules.base",
    "uer.training.engine",
    "uer.interop.huggingface.base",
)


def import_registries() -> list[Registry[Any]]:
    """Every registry of the toolkit, and those that others have declared."""
    for module in _DECLARING:
        importlib.import_module(module)
    return Registry.all()


def _parts(module: Any) -> list[type]:
    """Public classes defined in a module itself."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and name[0] != "_"
    ]
