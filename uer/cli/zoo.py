"""`uer zoo`: public models by short names."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

from uer.cli.flags import POSITIONAL
from uer.errors import UserError
from uer.files import atomic_folder, require_writable
from uer.zoo.files import needed
from uer.zoo.hub import cached, fetch, files_in
from uer.zoo.manifest import Entry, find_entry, read_manifest

_SOURCE = "zoo.json"  # in a folder made by --to: where it comes from, and which files are in it


def zoo(
    *,
    action: Annotated[Literal["list", "show", "download"], "what to do", POSITIONAL],
    name: Annotated[
        str | None, "a model of the zoo; with list: a word to look for", POSITIONAL
    ] = None,
    to: Annotated[str | None, "with download: a folder to copy the model to"] = None,
) -> None:
    """List public models, show what is known of one, or fetch one from the Hugging Face hub.

    A fetched model stays in the hub's cache (HF_HOME says where). `zoo:NAME` stands for it wherever
    a command takes a checkpoint: --pretrained_model_path zoo:NAME.
    """
    if to is not None and action != "download":
        raise UserError("--to goes with `uer zoo download`.")
    if action == "list":
        sys.stdout.write(_table(name))
        return
    if name is None:
        raise UserError(f"`uer zoo {action}` needs the name of a model; `uer zoo list` has them.")
    entry = find_entry(name)
    if action == "show":
        sys.stdout.write(_facts(entry))
        return
    if to is not None:
        require_writable(to, _SOURCE)
    folder = fetch(entry)
    sys.stdout.write(f"{folder if to is None else _copy(entry, folder, Path(to))}\n")


def _table(word: str | None) -> str:
    """A line per model; with a word, of those that have it anywhere."""
    rows = [
        _row(entry)
        for entry in read_manifest().values()
        if word is None or word.lower() in " ".join((*_row(entry), entry.about)).lower()
    ]
    if not rows:
        raise UserError(f"no model of the zoo has '{word}' in its facts; `uer zoo list` shows all.")
    rows = [("name", "family", "config", "licence", "repository"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(entry: Entry) -> tuple[str, ...]:
    return entry.name, entry.family, entry.config, entry.licence, entry.repo


def _facts(entry: Entry) -> str:
    facts = {**dataclasses.asdict(entry), "cached": _cached(entry)}
    width = max(map(len, facts))
    return "".join(f"{key:<{width}}  {value}\n" for key, value in facts.items())


def _cached(entry: Entry) -> str:
    if importlib.util.find_spec("huggingface_hub") is None:
        return "not known (`pip install uer[hub]`)"
    folder = cached(entry)
    if folder is None:
        return "no"
    size = sum((folder / name).stat().st_size for name in files_in(folder))
    return f"{folder}, {size / 2**20:,.1f} MiB"


def _copy(entry: Entry, folder: Path, target: Path) -> Path:
    names = needed(files_in(folder))
    with atomic_folder(target, _SOURCE) as scratch:
        try:
            for name in names:
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, scratch / name)
        except OSError as error:
            raise UserError(f"cannot write to {target}: {error.strerror}.") from error
        source = {**dataclasses.asdict(entry), "commit": folder.name, "files": names}
        (scratch / _SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    return target
