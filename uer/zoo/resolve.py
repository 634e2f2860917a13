"""Checkpoint paths that name a model of the zoo."""

from __future__ import annotations

import logging
from typing import overload

from uer.zoo.hub import cached, damaged, fetch
from uer.zoo.manifest import find_entry

_log = logging.getLogger(__name__)
PREFIX = "zoo:"


@overload
def resolve(path: str) -> str: ...
@overload
def resolve(path: None) -> None: ...
def resolve(path: str | None) -> str | None:
    """The place of a checkpoint: ``zoo:NAME`` becomes a folder, anything else stays.

    A model that was fetched before is taken as it is, so that two runs start from the same
    weights; `uer zoo download NAME` looks for a newer one. Its files are compared with their
    checksums every time; what is missing or damaged is fetched.

    Raises:
        UserError: there is no such model, or it cannot be fetched.
    """
    if path is None or not path.startswith(PREFIX):
        return path
    entry = find_entry(path.removeprefix(PREFIX))
    folder = cached(entry)
    if folder is None or damaged(folder):
        folder = fetch(entry)
    _log.info("%s: %s", path, folder)
    return str(folder)
