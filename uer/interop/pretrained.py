"""Weights to start from, whoever wrote them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from uer.config import load_config
from uer.data.store_meta import tokenizer_folder
from uer.encoders.dual import DualEncoder
from uer.errors import CheckpointError
from uer.interop.adapters import adapters_of, base_of, summed
from uer.interop.huggingface.folders import is_foreign, open_folder
from uer.interop.huggingface.sentence import SentenceFolder, in_both_streams
from uer.interop.legacy.checkpoint import is_legacy_checkpoint, read_legacy
from uer.interop.legacy.dialect import Dialect
from uer.interop.resize import extended
from uer.model import Model
from uer.tokenizers.base import Tokenizer, load
from uer.training.checkpoint import MARKER, check_files, read_weights
from uer.training.loading import LoadReport, fill
from uer.training.lora import LORA_KEYS, SECTION


def load_pretrained(
    model: Model,
    path: str | Path,
    *,
    allow_partial: bool = False,
    grown: Collection[tuple[int, int]] = (),
) -> LoadReport:
    """Load one of our checkpoint folders, a file of the predecessors, or a Hugging Face folder.

    A single encoder of a Hugging Face folder fills both streams of a dual model.

    Args:
        model: what to load into.
        path: the folder or file.
        allow_partial: load what fits, even where the model's body stays unmatched.
        grown: numbers of tokens, the checkpoint's and the model's, of vocabularies that grew.

    Returns:
        What became of each tensor.

    Raises:
        CheckpointError: it cannot be read, or does not fit the model.
    """
    dual = isinstance(model.encoder, DualEncoder)
    found = read_tensors(path, list(model.heads), dual=dual)
    found, names = extended(found, model, grown)
    report = fill(model, found, path, allow_partial=allow_partial)
    return replace(report, extended=names)


def read_tensors(
    path: str | Path, targets: Sequence[str], *, dual: bool
) -> Mapping[str, torch.Tensor]:
    """All tensors of a checkpoint of any kind, by our names.

    Adapters are added to the weights they belong to.

    Args:
        path: the folder or file.
        targets: those of the model that will hold them.
        dual: it has two streams, and a model of one fills both.

    Raises:
        CheckpointError: it cannot be read.
    """
    if is_legacy_checkpoint(path):
        return read_legacy(path)
    if is_foreign(path):
        found = open_folder(path).tensors(targets)
        return in_both_streams(found) if dual else found
    check_files(path)
    own, about = read_weights(path), adapters_of(path)
    if about is None:
        return own
    return summed(path, about, own, read_tensors(base_of(path, about), targets, dual=dual))


def dialect_of(path: str | Path | None) -> Dialect | None:
    """Whose arithmetic the weights at ``path`` were trained with; None: nothing is said.

    A file of the predecessors carries no configuration, so it is theirs; a folder of ours says so
    in its configuration.
    """
    if path is None or is_foreign(path):
        return None
    return "legacy" if is_legacy_checkpoint(path) else checkpoint_config(path).get("dialect")


def checkpoint_config(path: str | Path) -> dict[str, Any]:
    """The configuration that a checkpoint folder carries; adapters are counted in.

    Raises:
        CheckpointError: it is no such folder, or damaged.
        ConfigError: it is a Hugging Face folder of a model that we do not have.
    """
    if is_foreign(path):
        return open_folder(path).config()
    config = load_config(require_folder(path) / MARKER)
    if SECTION not in config:
        return config
    return {k: v for k, v in config.items() if k not in (SECTION, "use_lora", *LORA_KEYS)}


def checkpoint_tokenizer(path: str | Path, side: str = "src") -> Tokenizer | None:
    """The tokenizer that a checkpoint brings along; None: it has none.

    A file of the predecessors has none, nor has a model that reads no text.

    Args:
        path: the checkpoint.
        side: which side's.

    Raises:
        CheckpointError: it is no checkpoint, or damaged.
        DataError: the tokenizer is damaged.
    """
    if is_legacy_checkpoint(path):
        return None
    if is_foreign(path):
        foreign = open_folder(path)
        return foreign.tokenizer() if foreign.has_tokenizer() else None
    folder = require_folder(path) / tokenizer_folder(side)
    return load(folder) if folder.is_dir() else None


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


def grown_from(path: str | Path, tokenizer: Tokenizer, side: str = "src") -> int | None:
    """How many tokens a checkpoint's side has, if ``tokenizer`` has these and further ones.

    The old ones come first, in their order; everything else that decides the ids is the same. Of a
    Hugging Face folder the vocabularies are compared.
    """
    own = checkpoint_tokenizer(path, side)
    if own is None or tokenizer.vocab_size <= own.vocab_size:
        return None
    alike = own.kind == tokenizer.kind and own.options == tokenizer.options
    alike = alike and own.special_tokens.items() <= tokenizer.special_tokens.items()
    if tokenizer.vocabulary[: own.vocab_size] != own.vocabulary:
        return None
    return own.vocab_size if alike or is_foreign(path) else None


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
    if adapters_of(checkpoint) is not None:
        return checkpoint_config(checkpoint)
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
