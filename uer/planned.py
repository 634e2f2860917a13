"""Parts that have been checked and can be built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from uer.errors import UserError
from uer.signature import Parameter, parameters

T = TypeVar("T")


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
