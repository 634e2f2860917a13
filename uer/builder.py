"""From a configuration to built parts: the only place where parts meet.

Planning reads the constructors' signatures (`uer.signature`), finds every key they ask for, and
reports *all* problems of a configuration at once; nothing is built before it is free of them.
Building then calls the constructors, from the inside out.

Rules:

* A *section* (the file, a stream, a companion, a part's own ``{name: {…}}``) is a scope: its keys
  are seen by the part and by everything inside it, inner sections first.
* ``<slot>_<key>`` speaks to one slot of the model only (``decoder_layers_num``).
* Every key of every section must be asked for by somebody. A key two parts share must mean the
  same to both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic

from uer.errors import ConfigError, UserError, did_you_mean
from uer.registry import Registry
from uer.signature import Default, Parameter, parameters

T = TypeVar("T")


# ------------------------------------------------------------------------------- planned parts


@dataclass
class Plan(Generic[T]):
    """A part that has been checked and can be built.

    Args:
        part: the class.
        name: what it is called among its siblings.
        slot: which slot of the model it stands in; facts may differ by slot.
        title: how messages call it, e.g. ``encoder 'transformer'``.
        values: keys found in the configuration.
        parts: plans of the parts it is made of, by parameter.
        attributes: set on the built part (a list entry's own ``name`` and ``weight``).
    """

    part: type[T]
    name: str
    slot: str
    title: str
    values: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Plan[Any] | list[Plan[Any]] | None] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def build(self, facts: Mapping[str, Any] | None = None, **fixed: Any) -> T:
        """Construct the part.

        Args:
            facts: values of `Given` parameters, for this part and everything inside it; a name may
                carry the slot it is true for (``tgt_embedding.vocab_size``).
            fixed: parameters the caller decides.

        Raises:
            ConfigError: the constructor refused its values.
            UserError: a fact is missing.
        """
        facts = facts or {}
        arguments: dict[str, Any] = dict(self.values)
        for key, parameter in parameters(self.part).items():
            if key in fixed:
                continue
            if parameter.kind == "given":
                arguments.update(self._fact(key, parameter, facts))
            elif parameter.kind == "part":
                arguments[key] = self._made(parameter, facts)
        built = self.part(**{**arguments, **fixed})
        for key, value in self.attributes.items():
            setattr(built, key, value)
        return built

    def asks(self) -> set[str]:
        """Names of all facts that this part and everything inside it may ask for."""
        own = {key for key, p in parameters(self.part).items() if p.kind == "given"}
        return own.union(*(plan.asks() for plan in self._inner()))

    def _inner(self) -> Iterable[Plan[Any]]:
        for made in self.parts.values():
            if isinstance(made, Plan):
                yield made
            elif made:
                yield from made

    def _fact(self, key: str, parameter: Parameter, facts: Mapping[str, Any]) -> dict[str, Any]:
        for name in (f"{self.slot}.{self.name}.{key}", f"{self.slot}.{key}", key):
            if name in facts:
                return {key: facts[name]}
        if parameter.required:
            raise UserError(self._missing(key, facts))
        return {}

    def _missing(self, key: str, facts: Mapping[str, Any]) -> str:
        if "special_ids" in facts and key.endswith(("_id", "_ids")):  # there is a tokenizer
            role = "sentinel" if key == "sentinel_ids" else key.removesuffix("_id")
            return (
                f"{self.title} needs the special token '{role}', and the tokenizer has none; name "
                f'a token of its vocabulary, {{"{role}_token": "…"}}, in a JSON file and give that '
                "with --special_tokens_path to preprocess.py, or take another tokenizer."
            )
        return (
            f"{self.title} needs to know '{key}', which comes from the data or from the part "
            "before it; nobody gave it."
        )

    def _made(self, parameter: Parameter, facts: Mapping[str, Any]) -> Any:
        chosen = self.parts[parameter.name]
        if chosen is None:
            return None
        if isinstance(chosen, list):
            makers: Any = [PlannedFactory(plan, facts) for plan in chosen]
            return makers if parameter.factory else [make() for make in makers]
        maker = PlannedFactory(chosen, facts)
        return maker if parameter.factory else maker()


class PlannedFactory(Generic[T]):
    """A `uer.signature.Factory` around a plan and the facts known where it is handed over."""

    def __init__(self, plan: Plan[T], facts: Mapping[str, Any]) -> None:
        self._plan, self._facts = plan, facts
        self.name = plan.name

    def __call__(self, **fixed: Any) -> T:
        """Build one part."""
        return self._plan.build(self._facts, **fixed)

    def given(self, **facts: Any) -> PlannedFactory[T]:
        """The same factory with more facts."""
        return PlannedFactory(self._plan, {**self._facts, **facts})


# ------------------------------------------------------------------------------------ planning


@dataclass
class _Section:
    """A mapping of the configuration with an account of who asked for its keys."""

    values: Mapping[str, Any]
    path: str
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> (title, meaning)
    listed: bool = False  # stands for a list in the file, not for a mapping
    incomplete: bool = False  # an unknown part inside might have asked for the rest

    def at(self, key: str) -> str:
        """The path of a key, as the user wrote it."""
        if self.listed:
            return self.path
        return f"{self.path}.{key}" if self.path else key


@dataclass(frozen=True)
class _Place:
    """Where in the configuration a part is being planned."""

    slot: str
    sections: tuple[_Section, ...]  # outer first
    title: str = "the configuration"

    def inside(self, section: _Section) -> _Place:
        return _Place(self.slot, (*self.sections, section), self.title)

    def names(self, key: str) -> tuple[str, ...]:
        """How a key may be written for this place; the first that is found counts."""
        return (f"{self.slot}_{key}", key) if self.slot else (key,)

    def find(self, key: str) -> tuple[_Section, str] | None:
        for section in reversed(self.sections):
            for name in self.names(key):
                if name in section.values:
                    return section, name
        return None


class Planner:
    """Checks one configuration; ask it for everything the file describes, then `finish`.

    Args:
        config: the configuration's mapping.
        source: the file it came from, for messages.
    """

    def __init__(self, config: Mapping[str, Any], source: str | None = None) -> None:
        self._source = source
        self._sections: dict[int, _Section] = {}
        self._root = self._section(config, "")
        self._problems: list[str] = []
        self._known: set[str] = set()
        self._missing: set[str] = set()

    def section(self, part: type[T]) -> Plan[T]:
        """Plan a class that reads the file itself as its section (the model, the settings)."""
        place = _Place("", (self._root,))
        return self._part(part, part.__name__.lower(), place, part.__name__.lower())

    def choice(self, key: str, base: type[T], default: str | None = None) -> Plan[T] | None:
        """Plan the part that a key of the file names (``data_processor: bert``), if it is there."""
        place = _Place(key, (self._root,))
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

    def _section(self, values: Mapping[str, Any], path: str, *, listed: bool = False) -> _Section:
        """One account for one mapping, however many parts read it."""
        return self._sections.setdefault(id(values), _Section(values, path, listed=listed))

    def _part(self, part: type[T], name: str, place: _Place, title: str) -> Plan[T]:
        plan = Plan(part, name, place.slot, title)
        place = _Place(place.slot, place.sections, title)
        for key, parameter in parameters(part).items():
            if parameter.kind == "key":
                self._key(parameter, place, plan)
            elif parameter.kind == "part":
                plan.parts[key] = self._choose(parameter, place)
        return plan

    def _key(self, parameter: Parameter, place: _Place, plan: Plan[Any]) -> None:
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

    def _claim(self, section: _Section, key: str, title: str, meaning: str) -> None:
        """Note who asks for a key; two askers must mean the same."""
        other, known = section.asked.setdefault(key, (title, meaning))
        if known != meaning:
            self.report(
                f"{section.at(key)} means different things to {other} ({known}) and to {title} "
                f"({meaning}); give each its own inside its section: {{name: {{{key}: …}}}}."
            )

    # Parts: how a value chooses them

    def _choose(self, parameter: Parameter, place: _Place) -> Plan[Any] | list[Plan[Any]] | None:
        key = parameter.name
        self._known.add(key)
        found = place.find(key)
        # The parts of a class that reads a section are its slots; parts inside them keep theirs.
        place = _Place(place.slot or key, place.sections, place.title)
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

    def _default(self, parameter: Parameter, place: _Place) -> Plan[Any] | list[Plan[Any]] | None:
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

    def _one(self, parameter: Parameter, value: Any, place: _Place, path: str) -> Plan[Any] | None:
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
        self, parameter: Parameter, value: Mapping[str, Any], place: _Place, path: str
    ) -> Plan[Any] | None:
        """A section read at the present slot: ``stream_0: {encoder: …, hidden_size: …}``."""
        section = self._section(value, path)
        self._claim(section, place.slot, place.title, f"part {parameter.hint.__name__}")
        inner = _Place(place.slot, (*place.sections, section), place.title)
        return self._one(parameter, value[place.slot], inner, section.at(place.slot))

    def _with_keys(
        self, registry: Registry[Any], value: Mapping[str, Any], place: _Place, path: str
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

    def _entry(self, plan: Plan[Any], registry: Registry[Any], section: _Section) -> None:
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
        self, registry: Registry[Any], name: Any, place: _Place, path: str
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
        place = _Place("", (self._section(value, path),))
        return self._part(parameter.hint, parameter.name, place, path)

    def _distinct(self, parameter: Parameter, plans: list[Plan[Any]], path: str) -> list[Plan[Any]]:
        names = [plan.name for plan in plans]
        nameable = "name" in getattr(parameter.hint, "entry_keys", {})
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            way_out = f"give one its own: {{{name}: {{name: …}}}}" if nameable else "keep one"
            self.report(f"{path}: two entries are called '{name}'; {way_out}.")
        return plans

    def _refuse(self, place: _Place, *problems: str) -> None:
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


def decode(hint: Any, value: Any) -> Any:
    """A value of a configuration as the type its parameter states, strictly.

    Raises:
        ValueError: it is of another type.
    """
    adapter = _adapter(hint)
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError((f"{place}: " if place else "") + first["msg"].lower() + ".") from None


@functools.cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(hint)


def _kind(base: type) -> str:
    registry = Registry.of(base)
    return registry.kind if registry else base.__name__
