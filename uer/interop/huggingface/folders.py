"""Folders of others: which kind one is."""

from __future__ import annotations

from pathlib import Path

from uer.errors import CheckpointError
from uer.interop.huggingface.meta import MetaFolder, is_meta
from uer.interop.huggingface.sentence import MODULES, SentenceFolder
from uer.interop.huggingface.source import CONFIG, HuggingFaceFolder
from uer.interop.huggingface.weights import foreign_weights
from uer.training.checkpoint import MANIFEST

Folder = HuggingFaceFolder | MetaFolder | SentenceFolder


def is_foreign(path: str | Path) -> bool:
    """A folder that others have written: it looks like one of theirs, and not like ours."""
    root = Path(path)
    if not root.is_dir() or (root / MANIFEST).is_file():
        return False
    theirs = (root / CONFIG).is_file() or (root / MODULES).is_file() or is_meta(root)
    return theirs or foreign_weights(root) is not None


def open_folder(path: str | Path) -> Folder:
    """A folder of others, ready to be read.

    Raises:
        CheckpointError: a file is missing or damaged, or it is of a kind that is not read.
        ConfigError: the model is of a family that is not known.
    """
    root = Path(path)
    if (root / MODULES).is_file():
        return SentenceFolder(root)
    if (root / CONFIG).is_file():
        return HuggingFaceFolder(root)
    if is_meta(root):
        return MetaFolder(root)
    raise CheckpointError(f"{path}: {foreign_weights(root) or f'there is no {CONFIG}.'}")
