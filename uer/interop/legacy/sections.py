"""Sections of a configuration: the two streams, and the parts that a value names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

STREAMS = ("stream_0", "stream_1")


def streams_of(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Sections of the streams that a configuration has, to be changed in place."""
    for name in STREAMS:
        stream = config.get(name)
        if isinstance(stream, dict):
            yield stream


def part_names(value: Any) -> Iterable[str]:
    """The parts that a value names: a name, or a list of names and of {name: {keys}}."""
    entries = value if isinstance(value, list) else [value]
    return [part_name(entry) for entry in entries]


def part_name(entry: Any) -> str:
    """The part that one entry names."""
    return str(next(iter(entry), "")) if isinstance(entry, Mapping) else str(entry)
