"""From a configuration to built parts: the only place where parts meet.

Planning reads the constructors' signatures (`uer.signature`), finds every key they ask for, and
reports *all* problems of a configuration at once; nothing is built before it is free of them.
Building then calls the constructors, from the inside out (`uer.planned`).

Rules:

* A *section* (the file, a stream, a companion, a part's own ``{name: {…}}``) is a scope: its keys
  are seen by the part and by everything inside it, inner sections first.
* ``<slot>_<key>`` speaks to one slot of the model only (``decoder_layers_num``).
* Every key of every section must be asked for by somebody. A key two parts share must mean the
  same to both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from uer.config import decode
from uer.errors import ConfigError, did_you_mean
from uer.planned import Plan
from uer.registry import Registry
from uer.sections import Place, Section
from uer.signature import Default, Parameter, parameters

T = TypeVar("T")


class Planner:
    """Checks one configuration; ask it for everything the file describes, then `finish`.

    Args:
        config: the configuration's mapping.
        source: the file it came from, for messages.
    """

    def __init__(self, config: Mapping[str, Any], source: str | None = None) -> None:
        self._source = source
        self._sections: dict[int, Section] = {}
        self._root = self._section(config, "")
        self._problems: list[str] = []
        self._known: set[str] = set()
        self._missing: set[str] = set()

    def section(self, part: type[T]) -> Plan[T]:
        """Plan a class that reads the file itself as its section (the model, the settings)."""
        place = Place("", (self._root,))
        return self._part(part, part.__name__.lower(), place, part.__name__.lower())

    def choice(self, key: str, base: type[T], default: str | None = None) -> Plan[T] | None:
        """Plan the part that a key of the file names (``data_processor: bert``), if it is there."""
        place = Place(key, (self._root,))
        fallback = None if default is None else Default(default)
        parameter = Parameter(key, "part", base, optional=True, default=fallback)
        chosen = self._choose(parameter, place)
        assert not isinstance(chosen, list)
        return chosen

    def asked(self) -> set[str]:
        """Keys of the file that somebody has asked for so far."""
        return set(self._root.asked)

    def finish(self, also_known: Iterable[str] = ()) -> None:
        """Report everything that was found.

        Args:
            also_known: keys of the file that somebody outside reads.

        Raises:
            ConfigError: all problems at once.
        """
        outside = set(also_known)
        known = self._known | outside
        for section in self._sections.values():
            # Where a part is not known, so are its keys; but one may be what is missing, misspelt.
            suggested = self._missing if section.incomplete else known
            for key in section.values:
                if key in section.asked or (section is self._root and key in outside):
                    continue
                if not section.incomplete or did_you_mean(key, suggested) != ".":
                    self.report(
                        f"{section.at(key)}: nobody asks for this key{self._where_asked(key)}",
                        key,
                        set() if key in self._known else suggested,
                    )
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems), self._source)

    def _where_asked(self, key: str) -> str:
        """Where a key has been found that stands in a place where nobody looks for it."""
        paths = [s.at(key) for s in self._sections.values() if key in s.asked]
        return f" here, but for {' and '.join(dict.fromkeys(paths))}" if paths else ""

    def report(self, problem: str, key: str = "", known: Iterable[str] = ()) -> None:
        """Note a problem; with a key, the nearest known one is suggested."""
        self._problems.append(problem + did_you_mean(key, known) if key else problem)

    def _section(self, values: Mapping[str, Any], path: str, *, listed: bool = False) -> Section:
        """One account for one mapping, however many parts read it."""
        return self._sections.setdefault(id(values), Section(values, path, listed=listed))

    def _part(self, part: type[T], name: str, place: Place, title: str) -> Plan[T]:
        plan = Plan(part, name, place.slot, title)
        place = Place(place.slot, place.sections, title)
        for key, parameter in parameters(part).items():
            if parameter.kind == "key":
                self._key(parameter, place, plan)
            elif parameter.kind == "part":
                plan.parts[key] = self._choose(parameter, place)
        return plan

    def _key(self, parameter: Parameter, place: Place, plan: Plan[Any]) -> None:
        self._known |= set(place.names(parameter.name))
        found = place.find(parameter.name)
        if found is None:
            if parameter.required:
                self._missing.add(parameter.name)
                self.report(f"{plan.title} needs the key '{parameter.name}': {parameter.meaning}.")
            return
        section, name = found
        self._claim(section, name, place.title, parameter.meaning)
        value = section.values[name]
        try:
            plan.values[parameter.name] = decode(parameter.hint, value)
        except ValueError as error:
            self.report(
                f"{section.at(name)}: {value!r} does not fit ({parameter.meaning}): {error}"
            )

    def _claim(self, section: Section, key: str, title: str, meaning: str) -> None:
        """Note who asks for a key; two askers must mean the same."""
        other, known = section.asked.setdefault(key, (title, meaning))
        if known != meaning:
            self.report(
                f"{section.at(key)} means different things to {other} ({known}) and to {title} "
                f"({meaning}); give each its own inside its section: {{name: {{{key}: …}}}}."
            )

    # Parts: how a value chooses them

    def _choose(self, parameter: Parameter, place: Place) -> Plan[Any] | list[Plan[Any]] | None:
        key = parameter.name
        self._known.add(key)
        found = place.find(key)
        # The parts of a class that reads a section are its slots; parts inside them keep theirs.
        place = Place(place.slot or key, place.sections, place.title)
        if found is None:
            return self._default(parameter, place)
        section, name = found
        value, path = section.values[name], section.at(name)
        # A nested section may be read at several slots: it is one section, whatever each finds.
        nested = isinstance(value, Mapping) and place.slot in value
        meaning = "a nested section" if nested else f"part {parameter.hint.__name__}"
        self._claim(section, name, place.title, meaning)
        if value is None or value in ("none", "None"):
            if not parameter.optional:
                self.report(f"{path}: this part cannot be left out.")
            return None
        if hasattr(parameter.hint, "reads_section"):
            return self._companion(parameter, value, path)
        if parameter.many:
            entries = value if isinstance(value, list) else [value]
            plans = [
                self._one(parameter, entry, place, f"{path}[{number}]")
                for number, entry in enumerate(entries)
            ]
            return self._distinct(parameter, [plan for plan in plans if plan], path)
        return self._one(parameter, value, place, path)

    def _default(self, parameter: Parameter, place: Place) -> Plan[Any] | list[Plan[Any]] | None:
        if isinstance(parameter.default, Default):
            return self._one(parameter, parameter.default.name, place, parameter.name)
        if parameter.required:
            self._missing.add(parameter.name)
            self._refuse(
                place,
                f"{place.title} needs the key '{parameter.name}': which {_kind(parameter.hint)} "
                "it is made of.",
            )
        return [] if parameter.many else None

    def _one(self, parameter: Parameter, value: Any, place: Place, path: str) -> Plan[Any] | None:
        """Plan what one value names: a name, {name: {keys}}, a section, or a list."""
        registry = Registry.of(parameter.hint)
        assert registry is not None, parameter.hint
        if isinstance(value, list) and hasattr(parameter.hint, "list_name"):
            inner = self._section({"parts": value}, path, listed=True)
            return self._named(registry, parameter.hint.list_name, place.inside(inner), path)
        if isinstance(value, str):
            return self._named(registry, value, place, path)
        if isinstance(value, Mapping):
            if place.slot in value:
                return self._nested(parameter, value, place, path)
            if len(value) == 1:
                return self._with_keys(registry, value, place, path)
        return self._refuse(
            place,
            f"{path}: {value!r} names no {registry.kind}; write a name or {{name: {{keys}}}}.",
        )

    def _nested(
        self, parameter: Parameter, value: Mapping[str, Any], place: Place, path: str
    ) -> Plan[Any] | None:
        """A section read at the present slot: ``stream_0: {encoder: …, hidden_size: …}``."""
        section = self._section(value, path)
        self._claim(section, place.slot, place.title, f"part {parameter.hint.__name__}")
        inner = Place(place.slot, (*place.sections, section), place.title)
        return self._one(parameter, value[place.slot], inner, section.at(place.slot))

    def _with_keys(
        self, registry: Registry[Any], value: Mapping[str, Any], place: Place, path: str
    ) -> Plan[Any] | None:
        """``{name: {keys}}``: a part with a section of its own."""
        ((name, keys),) = value.items()
        keys = {} if keys is None else keys
        if not isinstance(keys, Mapping):
            return self._refuse(
                place, f"{path}.{name}: {keys!r} is no section; write {{key: value}}."
            )
        section = self._section(keys, f"{path}.{name}")
        plan = self._named(registry, name, place.inside(section), path)
        if plan is not None:
            self._entry(plan, registry, section)
        return plan

    def _entry(self, plan: Plan[Any], registry: Registry[Any], section: Section) -> None:
        """Keys that belong to the list entry itself: its name, its weight."""
        for key, kind in getattr(registry.base, "entry_keys", {}).items():
            if key not in section.values:
                continue
            section.asked[key] = (plan.title, "of the entry")
            try:
                value = decode(kind, section.values[key])
            except ValueError as error:
                self.report(f"{section.at(key)}: {section.values[key]!r}: {error}")
                continue
            if key == "name":
                plan.name = value
            plan.attributes["loss_weight" if key == "weight" else key] = value

    def _named(
        self, registry: Registry[Any], name: Any, place: Place, path: str
    ) -> Plan[Any] | None:
        try:
            part = registry.get(str(name))
        except ConfigError as error:
            return self._refuse(place, *(f"{path}: {problem}" for problem in error.problems))
        plan = self._part(part, str(name), place, f"{registry.kind} '{name}'")
        if "name" in getattr(registry.base, "entry_keys", {}):
            plan.attributes["name"] = plan.name
        return plan

    def _companion(self, parameter: Parameter, value: Any, path: str) -> Plan[Any] | None:
        """A whole model of its own; it sees its section only."""
        if not isinstance(value, Mapping):
            self.report(f"{path}: {value!r} is no section; write a model's keys below it.")
            return None
        place = Place("", (self._section(value, path),))
        return self._part(parameter.hint, parameter.name, place, path)

    def _distinct(self, parameter: Parameter, plans: list[Plan[Any]], path: str) -> list[Plan[Any]]:
        names = [plan.name for plan in plans]
        nameable = "name" in getattr(parameter.hint, "entry_keys", {})
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            way_out = f"give one its own: {{{name}: {{name: …}}}}" if nameable else "keep one"
            self.report(f"{path}: two entries are called '{name}'; {way_out}.")
        return plans

    def _refuse(self, place: Place, *problems: str) -> None:
        """Note that no part can be planned here: nobody knows which keys it would ask for."""
        self._problems.extend(problems)
        for section in place.sections:
            section.incomplete = True


def build(base: type[T], name: str, **keys: Any) -> T:
    """Build one part from keywords, for tests and notebooks.

    Args:
        base: the kind of part, e.g. `uer.components.Encoder`.
        name: its name in the registry.
        keys: configuration keys and facts alike.

    Raises:
        ConfigError: as for a configuration file.
    """
    planner = Planner({"part": name, **keys})
    plan = planner.choice("part", base)
    planner.finish(also_known=plan.asks() if plan else ())
    assert plan is not None
    return plan.build({key: keys[key] for key in plan.asks() if key in keys})


def _kind(base: type) -> str:
    registry = Registry.of(base)
    return registry.kind if registry else base.__name__
