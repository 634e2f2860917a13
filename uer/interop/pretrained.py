"""Weights to start from, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uer.config import load_config
from uer.data.store_meta import tokenizer_folder
from uer.encoders.dual import DualEncoder
from uer.errors import CheckpointError
from uer.interop.huggingface.folders import is_foreign, open_folder
from uer.interop.huggingface.sentence import SentenceFolder, in_both_streams
from uer.interop.legacy_checkpoint import is_legacy_checkpoint, read_legacy
from uer.interop.legacy_config import Dialect
from uer.model import Model
from uer.tokenizers.base import Tokenizer, load
from uer.training.checkpoint import MARKER, check_files, load_weights
from uer.training.loading import LoadReport, fill


def load_pretrained(model: Model, path: str | Path, *, allow_partial: bool = False) -> LoadReport:
    """Load one of our checkpoint folders, a file of the predecessors, or a Hugging Face folder.

    A single encoder of a Hugging Face folder fills both streams of a dual model.

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
    if is_foreign(path):
        found = open_folder(path).tensors(list(model.heads))
        if isinstance(model.encoder, DualEncoder):
            found = in_both_streams(found)
        return fill(model, found, path, allow_partial=allow_partial)
    return load_weights(model, path, allow_partial=allow_partial)


def dialect_of(path: str | Path | None) -> Dialect | None:
    """Whose arithmetic the weights at ``path`` were trained with; None: nothing is said.

    A file of the predecessors carries no configuration, so it is theirs; a folder of ours says so
    in its configuration.
    """
    if path is None or is_foreign(path):
        return None
    return "legacy" if is_legacy_checkpoint(path) else checkpoint_config(path).get("dialect")


def checkpoint_config(path: str | Path) -> dict[str, Any]:
    """The configuration that a checkpoint folder carries.

    Raises:
        CheckpointError: it is no such folder, or damaged.
        ConfigError: it is a Hugging Face folder of a model that we do not have.
    """
    if is_foreign(path):
        return open_folder(path).config()
    return load_config(require_folder(path) / MARKER)


def checkpoint_tokenizer(path: str | Path, side: str = "src") -> Tokenizer | None:
    """The tokenizer that a checkpoint brings along; None: a file of the predecessors has none.

    Args:
        path: the checkpoint.
        side: which side's.

    Raises:
        CheckpointError: it is no checkpoint, or damaged.
        DataError: the tokenizer is damaged, or there is none in the folder.
    """
    if is_legacy_checkpoint(path):
        return None
    if is_foreign(path):
        return open_folder(path).tokenizer()
    return load(require_folder(path) / tokenizer_folder(side))


def trained_with(path: str | Path, tokenizer: Tokenizer, side: str = "src") -> Tokenizer | None:
    """The tokenizer of a checkpoint's side, if it is another one than ``tokenizer``.

    Equally many tokens are not the same tokens. Of a Hugging Face folder the vocabularies are
    compared, for several of our tokenizers read the same files.
    """
    own = checkpoint_tokenizer(path, side)
    if own is None or own.fingerprint() == tokenizer.fingerprint():
        return None
    same = is_foreign(path) and own.vocabulary == tokenizer.vocabulary
    return None if same else own


def choose_config(given: str | None, checkpoint: str | None) -> str | Path | Mapping[str, Any]:
    """The configuration to use: the one given, else the checkpoint's own, else BERT-base.

    What starts from a folder of sentence-transformers starts from the model that it has for both
    streams; a dual model is trained from it with a configuration of one.

    Raises:
        CheckpointError: the checkpoint is damaged, or there is none.
        ConfigError: it is a Hugging Face folder of a model that we do not have.
    """
    if given is not None:
        return given
    if checkpoint is None or is_legacy_checkpoint(checkpoint):
        return "models/bert/base_config.json"
    if is_foreign(checkpoint):
        folder = open_folder(checkpoint)
        return (folder.single if isinstance(folder, SentenceFolder) else folder).config()
    return require_folder(checkpoint) / MARKER


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
