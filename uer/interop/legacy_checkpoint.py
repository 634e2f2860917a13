"""Checkpoints of UER-py and TencentPretrain, read into ours.

Theirs is one flat dictionary of tensors without any description; names are translated by one table.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch

from uer.errors import CheckpointError

# Their names → ours, tried in order; every pattern is anchored at both ends.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"((?:tgt_)?embedding)\.(word|pos|seg)\.embedding\.weight", r"\1.parts.\2.weight"),
    (r"((?:tgt_)?embedding)\.layer_norm\.(\w+)", r"\1.norm.\2"),
    (r"encoder\.linear\.(\w+)", r"encoder.projection.\1"),
    (r"encoder\.layer_norm\.(\w+)", r"encoder.norm.\1"),
    (r"encoder\.transformer\.(?!\d)(.+)", r"encoder.layers.0.\1"),
    (r"encoder\.transformer\.(\d+)\.(.+)", r"encoder.layers.\1.\2"),
    (r"target\.mlm\.linear_1\.(\w+)", r"targets.mlm.transform.\1"),
    (r"target\.mlm\.layer_norm\.(\w+)", r"targets.mlm.norm.\1"),
    (r"target\.mlm\.linear_2\.(\w+)", r"targets.mlm.output.\1"),
    (r"target\.lm\.output_layer\.(\w+)", r"targets.lm.output.\1"),
    (r"target\.(sp|cls)\.linear_1\.(\w+)", r"targets.\1.hidden.\2"),
    (r"target\.(sp|cls)\.linear_2\.(\w+)", r"targets.\1.output.\2"),
    (r"output_layer_1\.(\w+)", r"targets.cls.hidden.\1"),
    (r"output_layer_2\.(\w+)", r"targets.cls.output.\1"),
)

# Inside a layer.
_INNER: tuple[tuple[str, str], ...] = (
    ("self_attn.linear_layers.0.", "attention.query."),
    ("self_attn.linear_layers.1.", "attention.key."),
    ("self_attn.linear_layers.2.", "attention.value."),
    ("self_attn.final_linear.", "attention.output."),
    ("feed_forward.linear_gate.", "feed_forward.gate."),
    ("feed_forward.linear_1.", "feed_forward.up."),
    ("feed_forward.linear_2.", "feed_forward.down."),
    ("layer_norm_1.", "attention_norm."),
    ("layer_norm_2.", "feed_forward_norm."),
)


def is_legacy_checkpoint(path: str | Path) -> bool:
    """A file, not a folder: what the predecessors' ``torch.save`` wrote."""
    return Path(path).is_file()


def read_legacy(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint of the predecessors; no code of the file is run.

    Returns:
        Tensors by our names. Names without a counterpart keep theirs, so that the load report
        shows them.

    Raises:
        CheckpointError: the file is missing, truncated, or no dictionary of tensors.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the reader fail in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # whose advice is to run the file's code
            reason = "it is no file of torch.save, or holds other things than tensors"
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({reason}); copy or download it again."
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise CheckpointError(
            f"{path} holds no dictionary of tensors; a state dict saved by torch.save is expected."
        )
    return {rename(key): _adapted(key, value) for key, value in state.items()}


def rename(key: str) -> str:
    """Our name of a parameter of theirs."""
    key = key.removeprefix("module.")
    for pattern, ours in _NAMES:
        match = re.fullmatch(pattern, key)
        if match:
            key = match.expand(ours)
            break
    if ".layers." in key:
        for theirs, ours in _INNER:
            key = key.replace(theirs, ours)
    return re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", key))


def _adapted(key: str, value: torch.Tensor) -> torch.Tensor:
    """Their segment 0 means padding: our table has no such row."""
    return value[1:] if key.endswith("seg.embedding.weight") else value
