"""The words in which a constructor states its schema; `uer.builder` reads them.

::

    class TransformerLayer(Layer):
        def __init__(
            self,
            *,
            hidden_size: HiddenSize,                               # a key of the configuration
            attention: Factory[Attention] = default("multihead"),  # a part its key names
            memory_size: Given[int],                               # a fact
        ) -> None: ...

Every plain key is annotated ``Annotated[type, "what it means"]``. Two parts share a key of the same
section only if type and meaning are equal; the keys that are meant to be shared stand in
`uer.glossary`.
"""

from __future__ import annotations

import functools
import inspect
import types
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    Optional,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from uer.registry import Registry

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class _Fact:
    """A parameter that comes from a neighbour or from the data, never from a configuration."""


Given = Annotated[T, _Fact()]


class Factory(Protocol[T_co]):
    """Makes parts of one kind, each call a new one.

    Attributes:
        name: the name the part was chosen by (of a list entry: the name the entry gave itself).
    """

    name: str

    def __call__(self, **fixed: Any) -> T_co:
        """Make a part; ``fixed`` are parameters of it that are no choice here."""
        ...

    def given(self, **facts: Any) -> Factory[T_co]:
        """The same factory, knowing more facts for whoever inside asks for them."""
        ...


@dataclass(frozen=True)
class Default:
    """The part that is chosen when no configuration names one."""

    name: str


def default(name: str) -> Any:
    """Default of a parameter that holds a part: the name of the part."""
    return Default(name)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor, as its annotation states it.

    Args:
        name: its keyword.
        kind: ``key`` of the configuration, ``given`` fact, or ``part`` to be built.
        hint: of a key its type, of a part its base class.
        meaning: of a key what it means.
        many: a list of parts.
        factory: the constructor wants a `Factory`, not the part itself.
        optional: None is allowed.
        default: `inspect.Parameter.empty` where the parameter is required.
    """

    name: str
    kind: Literal["key", "given", "part"]
    hint: Any
    meaning: str = ""
    many: bool = False
    factory: bool = False
    optional: bool = False
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """There is no default."""
        return self.default is inspect.Parameter.empty


@functools.cache
def parameters(part: type) -> dict[str, Parameter]:
    """The schema a class states in its constructor.

    Raises:
        TypeError: a parameter is positional or not annotated: a mistake of the part's author.
    """
    hints = get_type_hints(part.__init__, include_extras=True)
    schema = {}
    for name, parameter in inspect.signature(part).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"{part.__qualname__}: parameter '{name}' must be keyword-only.")
        if name not in hints:
            raise TypeError(f"{part.__qualname__}: parameter '{name}' has no annotation.")
        try:
            schema[name] = _read(name, hints[name], parameter.default)
        except TypeError as error:
            raise TypeError(f"{part.__qualname__}: {error}") from None
    return schema


def _read(name: str, hint: Any, default: Any) -> Parameter:
    base, optional = _without_none(hint)
    notes = getattr(base, "__metadata__", ())
    if notes:
        kind = Optional[get_args(base)[0]] if optional else get_args(base)[0]  # noqa: UP045
        if any(isinstance(note, _Fact) for note in notes):
            return Parameter(name, "given", kind, default=default)
        meaning = next(note for note in notes if isinstance(note, str))
        return Parameter(name, "key", kind, meaning, default=default)
    many = get_origin(base) is list
    if many:
        base = get_args(base)[0]
    factory = get_origin(base) is Factory
    if factory:
        base = get_args(base)[0]
    if not isinstance(base, type) or not (Registry.of(base) or hasattr(base, "reads_section")):
        raise TypeError(
            f"parameter '{name}: {hint}' is neither Annotated[type, 'meaning'] nor Given[type] "
            "nor a part."
        )
    return Parameter(
        name, "part", base, many=many, factory=factory, optional=optional, default=default
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A union with None, taken apart."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [option for option in get_args(hint) if option is not types.NoneType]
        if len(rest) == 1 and len(rest) < len(get_args(hint)):
            return rest[0], True
    return hint, False
