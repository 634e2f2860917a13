"""The manifest: which public models have a short name, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from uer.config import parse_yaml
from uer.errors import UserError, did_you_mean

MANIFEST = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A public model.

    Args:
        name: its short name.
        family: the kind of model.
        repo: repository on the hub, ``organisation/name``.
        licence: as its card states it, or ``see repository``.
        config: a configuration under ``models/`` of the same shape, or ``huggingface``.
        about: one line.
        revision: branch, tag or commit.
    """

    name: str
    family: str
    repo: str
    licence: str
    config: str
    about: str
    revision: str = "main"


def read_manifest() -> dict[str, Entry]:
    """All entries by name, in the manifest's order."""
    families = parse_yaml(MANIFEST.read_text(encoding="utf-8"), MANIFEST)
    entries = [
        Entry(name=name, family=family, **facts)
        for family, models in families.items()
        for name, facts in models.items()
    ]
    found = {entry.name: entry for entry in entries}
    assert len(found) == len(entries), "a name stands in two families"
    return found


def find_entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: there is none.
    """
    entries = read_manifest()
    if name not in entries:
        raise UserError(
            f"the zoo has no model '{name}'{did_you_mean(name, entries)} `uer zoo list` names them."
        )
    return entries[name]
