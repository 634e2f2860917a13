"""Brings tensors of a file into a model, and says what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from uer.errors import CheckpointError
from uer.training.lazy import names_by_tensor

BODY = ("embedding", "encoder", "tgt_embedding", "decoder")
_DECODING = ("tgt_embedding", "decoder")


class Mismatch(NamedTuple):
    """A tensor whose shape in the file is not the model's."""

    name: str
    file: tuple[int, ...]
    model: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of each tensor when weights were loaded.

    Args:
        matched: names that were loaded.
        missing: names of the model that the file does not hold: they keep their initial values.
        unexpected: names of the file that the model does not have: they were left out.
        mismatched: names of both with different shapes: they keep their initial values.
        extended: of those that were loaded, tables that got rows for new tokens before.
    """

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[Mismatch]
    extended: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One sentence for the log."""
        parts = [f"{len(self.matched)} tensors loaded"]
        shapes = [f"{m.name} {list(m.file)} (model {list(m.model)})" for m in self.mismatched]
        for what, names in (
            ("not in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape", shapes),
        ):
            if names:
                parts.append(f"{len(names)} {what}: {_some(names)}")
        if self.extended:
            parts.append(f"new tokens begin as the mean of the old ones: {_some(self.extended)}")
        return "; ".join(parts) + "."


def fill(
    model: nn.Module,
    found: Mapping[str, torch.Tensor],
    source: str | Path,
    *,
    allow_partial: bool = False,
) -> LoadReport:
    """Copy tensors into a model's parameters of the same names.

    Args:
        model: built as the configuration says, ties included.
        found: tensors by name; of tied parameters one is enough.
        source: where they come from, for messages.
        allow_partial: load what fits, even where the model's body stays unmatched. Targets that
            the source does not know are always allowed: they are trained from the start.

    Returns:
        What became of each tensor.

    Raises:
        CheckpointError: the body stays unmatched, a shape differs, or tied tensors are not equal.
    """
    report, matches = match(model, found, source)
    if not allow_partial:
        require_body(source, report)
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in matches.items():
            own[name].copy_(tensor)
    return report


def match(
    model: nn.Module, found: Mapping[str, torch.Tensor], source: str | Path
) -> tuple[LoadReport, dict[str, torch.Tensor]]:
    """Find the tensors for a model's parameters; the model may live on the device ``meta``.

    Args:
        model: as in `fill`.
        found: as in `fill`.
        source: as in `fill`.

    Returns:
        What would become of each tensor, and the tensors by the model's names, tied names included.

    Raises:
        CheckpointError: tied tensors are not equal.
    """
    own = model.state_dict(keep_vars=True)
    groups = names_by_tensor(own)
    matches: dict[str, torch.Tensor] = {}
    missing, mismatched = [], []
    for names in groups:
        given = [name for name in names if name in found]
        if not given:
            missing += names
        elif (file := found[given[0]]).shape != own[names[0]].shape:
            mismatched.append(Mismatch(given[0], tuple(file.shape), tuple(own[names[0]].shape)))
        else:
            _require_equal(source, given, found)
            matches |= dict.fromkeys(names, file)
    report = LoadReport(
        matched=sorted(matches),
        missing=sorted(missing),
        unexpected=sorted(found.keys() - own.keys()),
        mismatched=sorted(mismatched),
    )
    return report, matches


def _require_equal(source: str | Path, names: list[str], found: Mapping[str, torch.Tensor]) -> None:
    """One tensor of the model cannot take two different ones of the file."""
    first = found[names[0]]
    for name in names[1:]:
        if found[name] is not first and not torch.equal(found[name], first):
            raise CheckpointError(
                f"{source}: {names[0]} and {name} are one tensor in this model, but two different "
                "ones in the checkpoint; build the model without tying them."
            )


def require_body(source: str | Path, report: LoadReport, *, partly: bool = True) -> None:
    """Embeddings, encoder and decoder must match whole, and no shape may differ.

    A model without any decoder leaves the checkpoint's behind: its encoder is used alone.

    Args:
        source: what the weights were read from, for messages.
        report: what became of each tensor.
        partly: there is a flag to load what fits, which the message names.

    Raises:
        CheckpointError: they do not.
    """
    own = {name.split(".")[0] for name in (*report.matched, *report.missing)}
    decodes = not own.isdisjoint(_DECODING)
    wanted = [part for part in BODY if decodes or part not in _DECODING]
    wrong = {
        "the checkpoint lacks": [n for n in report.missing if n.split(".")[0] in BODY],
        "the model has no": [n for n in report.unexpected if n.split(".")[0] in wanted],
        "the shapes differ of": [
            f"{m.name} (checkpoint {list(m.file)}, model {list(m.model)})"
            for m in report.mismatched
        ],
    }
    problems = [f"{what} {_some(names)}" for what, names in wrong.items() if names]
    if problems:
        instead = ", or load what fits with --allow_partial" if partly else ""
        raise CheckpointError(
            f"{source} does not fit the model: {'; '.join(problems)}. Use the configuration it was "
            f"trained with{instead}."
        )


def _some(names: list[str], at_most: int = 6) -> str:
    shown = ", ".join(names[:at_most])
    rest = len(names) - at_most
    return shown if rest <= 0 else f"{shown} and {rest} more"
