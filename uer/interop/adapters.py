"""Checkpoints that hold adapters only: read as the sum with the weights they belong to.

Everything that reads a model's weights reads such a folder like any other: W + alpha / r · B·A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from uer.config import load_config
from uer.errors import CheckpointError
from uer.interop.legacy.checkpoint import is_legacy_checkpoint, read_state
from uer.interop.legacy.names import to_ours
from uer.training.checkpoint import MARKER, check_files, read_weights
from uer.training.freezing import plain_name
from uer.training.lora import DOWN, SECTION, UP, adapted, digest

Tensors = Mapping[str, torch.Tensor]
_LEGACY = re.compile(r"(.+)\.lora_([AB])$")


def adapters_of(path: str | Path) -> dict[str, Any] | None:
    """What a checkpoint folder of ours says about its adapters; None: it holds a whole model."""
    file = Path(path) / MARKER
    return load_config(file).get(SECTION) if file.is_file() else None


def base_of(path: str | Path, about: Mapping[str, Any]) -> str:
    """Where the weights are that a checkpoint's adapters belong to.

    Args:
        path: the checkpoint's folder; what is not absolute is meant from there.
        about: what it says about its adapters.

    Raises:
        CheckpointError: they are not there.
    """
    base = Path(path) / about["base"]
    if not base.exists():
        raise CheckpointError(
            f"{path} holds low-rank differences to the weights of {about['base']}, which is not "
            f"there; write where that checkpoint is into {Path(path) / MARKER} (lora: base)."
        )
    return str(base)


def summed(path: str | Path, about: Mapping[str, Any], own: Tensors, base: Tensors) -> Tensors:
    """A whole model's weights.

    Args:
        path: the checkpoint with the adapters, for messages.
        about: what it says about them.
        own: its tensors.
        base: those of the checkpoint that it belongs to.

    Returns:
        Tensors by their names without adapters.

    Raises:
        CheckpointError: the base is another one.
    """
    names = adapted(own)
    lacking = [name for name in names if name not in base]
    if lacking:
        raise CheckpointError(
            f"{path} belongs to weights that have a tensor {lacking[0]}; those of {about['base']} "
            "have none."
        )
    if digest(base, own) != about["digest"]:
        raise CheckpointError(
            f"{path} was trained beside other weights than those of {about['base']}; write where "
            f"they are into {Path(path) / MARKER} (lora: base)."
        )
    whole = {plain_name(k): v for k, v in own.items() if not k.endswith((DOWN, UP))}
    return {**base, **whole, **_sums(base, names, own, about["alpha"])}


def _sums(base: Tensors, names: list[str], own: Tensors, alpha: float) -> dict[str, torch.Tensor]:
    """W + alpha / r · B·A, in float32, for every weight W that is named."""
    found = {}
    for name in names:
        down, up = (own[name.removesuffix(".weight") + part].float() for part in (DOWN, UP))
        scale = alpha / down.shape[0]
        found[name] = base[name].float() + scale * (up @ down)
    return found


def read_adapters(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """A checkpoint's adapters alone.

    Args:
        path: a folder of ours, or a file of the predecessors.

    Returns:
        The tensors by our names, and what the folder says about them; a file says nothing.

    Raises:
        CheckpointError: it holds something else.
    """
    if is_legacy_checkpoint(path):
        return _legacy(read_state(path), path), None
    check_files(path)
    about = adapters_of(path)
    if about is None:
        raise CheckpointError(
            f"{path} holds a whole model and no adapters; start from it with "
            "--pretrained_model_path."
        )
    return read_weights(path), about


def _legacy(state: Tensors, path: str | Path) -> dict[str, torch.Tensor]:
    """The predecessors' ``….linear_layers.0.lora_A`` [r, H] and ``.lora_B`` [A, r]."""
    found = {}
    for key, tensor in state.items():
        match = _LEGACY.fullmatch(key)
        if match is None:
            raise CheckpointError(
                f"{path} holds {key}; a file of the predecessors with low-rank differences alone "
                "is expected."
            )
        module = to_ours(f"{match[1]}.weight").removesuffix(".weight")
        found[module + (DOWN if match[2] == "A" else UP)] = tensor
    return found
