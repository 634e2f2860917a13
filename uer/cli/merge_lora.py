"""`uer merge-lora`: adapters and the weights they belong to, as one model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from uer.cli.flags import POSITIONAL
from uer.errors import UserError
from uer.files import probe_place
from uer.interop.adapters import adapters_of
from uer.interop.convert import read_checkpoint, write_checkpoint
from uer.interop.pretrained import require_folder
from uer.registry import load_plugins

_log = logging.getLogger(__name__)


def merge_lora(
    *,
    source: Annotated[str, "checkpoint of a run with --use_lora", POSITIONAL],
    destination: Annotated[str, "folder to write", POSITIONAL],
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Add LoRA's differences to the weights they were trained beside.

    The result is a plain checkpoint that needs the other one no more. Its outputs are those of
    the model with adapters.
    """
    load_plugins(plugin)
    probe_place(Path(destination))
    if Path(source).resolve() == Path(destination).resolve():
        raise UserError(f"{source} is the source, too; choose another path to write.")
    about = adapters_of(require_folder(source))
    if about is None:
        raise UserError(f"{source} holds a whole model: there is nothing to merge.")
    made = read_checkpoint(source)
    write_checkpoint(made, destination, "uer")
    _log.info("%s: %s with the differences of %s.", destination, about["base"], source)
