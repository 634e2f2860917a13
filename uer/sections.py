"""Sections of a configuration as scopes: who sees which keys, and who asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
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
class Place:
    """Where in the configuration a part is being planned."""

    slot: str
    sections: tuple[Section, ...]  # outer first
    title: str = "the configuration"

    def inside(self, section: Section) -> Place:
        """The same place, one section further in."""
        return Place(self.slot, (*self.sections, section), self.title)

    def names(self, key: str) -> tuple[str, ...]:
        """How a key may be written for this place; the first that is found counts."""
        return (f"{self.slot}_{key}", key) if self.slot else (key,)

    def find(self, key: str) -> tuple[Section, str] | None:
        """The innermost section that has a key, and how it is written there."""
        for section in reversed(self.sections):
            for name in self.names(key):
                if name in section.values:
                    return section, name
        return None
