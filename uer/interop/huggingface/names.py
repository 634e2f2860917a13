"""Names of tensors, theirs and ours: one table, used in both directions.

A table maps a name of theirs to ours. ``{n}`` stands for a number; a name also stands for all
parameters below it (``…query`` for ``…query.weight`` and ``…query.bias``). The first entry that
fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from uer.errors import CheckpointError
from uer.training.loading import BODY

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Fused:
    """One tensor of theirs that is stored otherwise than ours.

    Args:
        ours: the names that it becomes.
        split: their tensor → one for each name.
        join: the way back.
    """

    ours: tuple[str, ...]
    split: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    join: Callable[[Sequence[torch.Tensor]], torch.Tensor]


Table = Mapping[str, str | Fused]


class Translated(NamedTuple):
    """Tensors under other names.

    Args:
        tensors: by their new names.
        left: names that no entry of the table fits.
    """

    tensors: dict[str, torch.Tensor]
    left: list[str]


class Names:
    """A table of names, ready for use.

    Args:
        table: theirs → ours.
        ignored: names of theirs that hold nothing learnt (positions written out, masks).
    """

    def __init__(self, table: Table, ignored: Sequence[str] = ()) -> None:
        self._entries = [
            _Entry(_compiled(theirs), theirs, entry if isinstance(entry, Fused) else _same(entry))
            for theirs, entry in table.items()
        ]
        self._ours = [
            (_compiled(name), entry, place)
            for entry in self._entries
            for place, name in enumerate(entry.fused.ours)
        ]
        self._ignored = [_compiled(name) for name in ignored]

    def known(self, name: str) -> bool:
        """The table speaks of a tensor of theirs."""
        return self._entry(name) is not None or self._is_ignored(name)

    def names(self, theirs: str) -> list[str]:
        """The names of ours that a tensor of theirs becomes; none where it has no place."""
        fit = self._entry(theirs)
        return [] if fit is None else [_filled(one, fit[1]) for one in fit[0].fused.ours]

    def parts(self, theirs: str) -> tuple[list[str], Fused] | None:
        """The names of ours that a tensor of theirs becomes, and how; None: it has no place."""
        fit = self._entry(theirs)
        return None if fit is None else (self.names(theirs), fit[0].fused)

    def counterpart(self, ours: str) -> tuple[str, list[str], Fused] | None:
        """The name of theirs that a tensor of ours goes into, with the names of all that do."""
        for pattern, entry, _ in self._ours:
            if match := pattern.fullmatch(ours):
                names = [_filled(name, match) for name in entry.fused.ours]
                return _filled(entry.theirs, match), names, entry.fused
        return None

    def _is_ignored(self, name: str) -> bool:
        return any(pattern.fullmatch(name) for pattern in self._ignored)

    def ours(
        self, found: Tensors, without: re.Pattern[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Translate their tensors; those without a place keep their names.

        Args:
            found: by their names.
            without: names of ours that have no place either.

        Raises:
            CheckpointError: two of theirs are one of ours, but differ.
        """
        made: dict[str, torch.Tensor] = {}
        for theirs, tensor in found.items():
            fit, names = self._entry(theirs), self.names(theirs)
            if fit is None or any(without and without.fullmatch(name) for name in names):
                if not self._is_ignored(theirs):  # a head is no part of our body, like it is called
                    of_body = fit is not None and theirs.partition(".")[0] in BODY
                    made[names[0] if of_body else theirs] = tensor
                continue
            for ours, part in zip(names, fit[0].fused.split(tensor), strict=True):
                if ours in made and not torch.equal(made[ours], part):
                    raise CheckpointError(
                        f"{theirs} differs from another tensor of the folder that is the same "
                        f"parameter here ({ours}); a model that has both is not supported."
                    )
                made.setdefault(ours, part)
        return made

    def theirs(self, found: Tensors) -> Translated:
        """Translate our tensors; of tied ones each is written once."""
        groups: dict[str, dict[int, torch.Tensor]] = {}
        entries: dict[str, tuple[_Entry, list[str]]] = {}
        left, written = [], set()
        for ours, tensor in sorted(found.items()):
            place_in_memory = (tensor.data_ptr(), tensor.shape)
            if place_in_memory in written:
                continue
            written.add(place_in_memory)
            fit = next(
                ((e, place, m) for p, e, place in self._ours if (m := p.fullmatch(ours))), None
            )
            if fit is None:
                left.append(ours)
                continue
            entry, place, match = fit
            theirs = _filled(entry.theirs, match)
            groups.setdefault(theirs, {})[place] = tensor
            entries.setdefault(theirs, (entry, []))[1].append(ours)
        made = {}
        for theirs, parts in groups.items():
            entry, names = entries[theirs]
            if len(parts) < len(entry.fused.ours):
                left += names
            else:
                made[theirs] = entry.fused.join([parts[n] for n in sorted(parts)])
        return Translated(made, sorted(left))

    def _entry(self, theirs: str) -> tuple[_Entry, re.Match[str]] | None:
        return next(((e, m) for e in self._entries if (m := e.pattern.fullmatch(theirs))), None)


def under(theirs: str, ours: str, table: Table) -> dict[str, str | Fused]:
    """A table whose names stand below two others.

    Args:
        theirs: what their names begin with, dot included.
        ours: what our names begin with, dot included.
        table: the rest of the names.
    """
    return {
        theirs + name: (
            ours + entry
            if isinstance(entry, str)
            else Fused(tuple(ours + one for one in entry.ours), entry.split, entry.join)
        )
        for name, entry in table.items()
    }


def transposed(ours: str) -> Fused:
    """A matrix that is stored as [in, out]; its bias is as ours."""

    def turn(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.t() if tensor.dim() == 2 else tensor

    return Fused((ours,), lambda tensor: [turn(tensor)], lambda parts: turn(parts[0]))


def boxed(ours: str, axes: int) -> Fused:
    """A tensor that is stored with so many axes of one element before its own."""
    return Fused(
        (ours,),
        lambda tensor: [tensor.reshape(tensor.shape[axes:])],
        lambda parts: parts[0][(None,) * axes],
    )


def stacked(*ours: str) -> Fused:
    """Matrices of equal size, one above the other."""
    return Fused(ours, lambda tensor: tensor.chunk(len(ours)), lambda parts: torch.cat([*parts]))


@dataclass(frozen=True)
class _Entry:
    pattern: re.Pattern[str]
    theirs: str
    fused: Fused


def _same(name: str) -> Fused:
    return Fused((name,), lambda tensor: [tensor], lambda parts: parts[0])


def _compiled(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\{n\}", r"(?P<n>\d+)") + r"(?P<leaf>(\.\w+)?)")


def _filled(name: str, match: re.Match[str]) -> str:
    return name.replace("{n}", match.groupdict().get("n") or "") + match["leaf"]
