"""Weights to start from, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from uer.config import load_config
from uer.errors import CheckpointError
from uer.interop.legacy_checkpoint import is_legacy_checkpoint, read_legacy
from uer.interop.legacy_config import Dialect
from uer.training.checkpoint import MARKER, LoadReport, check_files, fill, load_weights


def load_pretrained(
    model: nn.Module, path: str | Path, *, allow_partial: bool = False
) -> LoadReport:
    """Load one of our checkpoint folders, or a file of the predecessors.

    Args:
        model: what to load into.
        path: the folder or file.
        allow_partial: load what fits, even where the model's body stays unmatched.

    Returns:
        What became of each tensor.

    Raises:
        CheckpointError: it cannot be read, or does not fit the model.
    """
    if is_legacy_checkpoint(path):
        return fill(model, read_legacy(path), path, allow_partial=allow_partial)
    return load_weights(model, path, allow_partial=allow_partial)


def dialect_of(path: str | Path | None) -> Dialect | None:
    """Whose arithmetic the weights at ``path`` were trained with; None: nothing is said.

    A file of the predecessors carries no configuration, so it is theirs; a folder of ours says so
    in its configuration.
    """
    if path is None:
        return None
    return "legacy" if is_legacy_checkpoint(path) else checkpoint_config(path).get("dialect")


def checkpoint_config(path: str | Path) -> dict[str, Any]:
    """The configuration that a checkpoint folder of ours carries.

    Raises:
        CheckpointError: it is no such folder, or damaged.
    """
    check_files(path)
    return load_config(Path(path) / MARKER)


def choose_config(given: str | None, checkpoint: str | None) -> str | Path:
    """The configuration to use: the one given, else the checkpoint's own, else BERT-base.

    Raises:
        CheckpointError: the checkpoint is damaged, or there is none.
    """
    if given is not None:
        return given
    if checkpoint is not None and not is_legacy_checkpoint(checkpoint):
        return require_folder(checkpoint) / MARKER
    return "models/bert/base_config.json"


def require_folder(path: str | Path) -> Path:
    """A checkpoint folder of ours.

    Raises:
        CheckpointError: it is a file of the predecessors, which carries no configuration.
    """
    if is_legacy_checkpoint(path):
        raise CheckpointError(
            f"{path} is a checkpoint of the predecessors, which says nothing about its model; "
            "give --config_path and --vocab_path."
        )
    check_files(path)
    return Path(path)
