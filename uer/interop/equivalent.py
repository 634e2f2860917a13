"""The same model made of other parts, where the outside world has only those.

Each function changes nothing in what it does not know, and gives configuration and state back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from uer.builder import Planner
from uer.interop.huggingface.described import values_of
from uer.model import Model

Config = Mapping[str, Any]
Tensors = Mapping[str, torch.Tensor]
Equivalent = tuple[dict[str, Any], dict[str, torch.Tensor]]

_NORM = re.compile(r".*norm\.weight")
_QUERY = re.compile(r".*\battention\.query\.(weight|bias)")
_KEY = re.compile(r".*\battention\.key\.(weight|bias)")
_POSITIONS = re.compile(r"(tgt_)?embedding\.(parts\.)?pos\.weight")
_GRID = "embedding.parts.gridpos.weight"
_SEGMENTS = re.compile(r"embedding\.parts\.seg\.weight")
_LEAST = 1e-12  # of variances, what the predecessors' constant under no root comes to


def with_layer_norms(config: Config, weights: Tensors) -> Equivalent:
    """The predecessors' norm as layer normalisation.

    Theirs divides by the deviation of a sample, √(H / (H - 1)) times that of layer normalisation;
    the scales take the factor in. What is left of the difference is their constant, 1e-6 of a
    deviation, and rounding.
    """
    if config.get("layernorm") != "legacy":
        return dict(config), dict(weights)

    def scaled(scale: torch.Tensor) -> torch.Tensor:
        width = scale.shape[0]
        return (scale.double() * ((width - 1) / width) ** 0.5).to(scale.dtype)

    made = {**config, "layernorm": "normal", "layernorm_eps": _LEAST}
    for slot in ("embedding", "tgt_embedding", "target"):
        if "legacy" in (made.get(f"{slot}_layernorm") or ()):
            del made[f"{slot}_layernorm"]
    made.pop("dialect", None)
    return made, _changed(weights, {_NORM: scaled})


def with_their_tables(config: Config, weights: Tensors) -> Equivalent:
    """Tables as the predecessors' are: positions begin in the first row, and segments are two.

    Where there is one segment, a second text has it, too.
    """
    made = dict(config)
    first = made.pop("position_offset", 0)
    changes = {_POSITIONS: lambda table: table[first:]} if first else {}
    if made.get("segments_num") == 1:
        del made["segments_num"]
        changes[_SEGMENTS] = lambda table: table.repeat(2, 1)
    return made, _changed(weights, changes)


def with_learnt_positions(config: Config, weights: Tensors) -> Equivalent:
    """Fixed positions of patches as learnt ones: a MAE that has become a classifier is a ViT."""
    parts, table = config.get("embedding"), weights.get(_GRID)
    if table is None or not isinstance(parts, list) or config.get("decoder"):
        return dict(config), dict(weights)
    made = {**config, "embedding": ["pos" if part == "gridpos" else part for part in parts]}
    renamed = {name.replace("parts.gridpos.", "parts.pos."): w for name, w in weights.items()}
    return {**made, "max_seq_length": table.shape[0]}, renamed


def in_halves(config: Config, weights: Tensors) -> Equivalent:
    """Rotary positions of adjacent dimensions as those that pair i with i + Dh/2."""
    return _reordered(config, weights, "rotary_interleaved", "rotary", to_halves)


def in_pairs(config: Config, weights: Tensors) -> Equivalent:
    """The counterpart of `in_halves`."""
    return _reordered(config, weights, "rotary", "rotary_interleaved", to_pairs)


def _reordered(
    config: Config,
    weights: Tensors,
    old: str,
    new: str,
    order: Callable[[torch.Tensor, int], torch.Tensor],
) -> Equivalent:
    if config.get("position") != old:
        return dict(config), dict(weights)
    values = values_of(Planner(config).section(Model))
    heads = values["heads_num"]
    shared = values.get("kv_heads_num", heads)
    changes = {_QUERY: lambda rows: order(rows, heads), _KEY: lambda rows: order(rows, shared)}
    return {**config, "position": new}, _changed(weights, changes)


def to_halves(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """[heads * Dh, …] from pairs (2i, 2i + 1) of a head's dimensions to pairs (i, i + Dh/2)."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def to_pairs(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """The counterpart of `to_halves`."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _changed(
    weights: Tensors, changes: Mapping[re.Pattern[str], Callable[[torch.Tensor], torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """The state with some tensors changed; tied ones stay tied."""
    made: dict[int, torch.Tensor] = {}
    found = dict(weights)
    for name, tensor in weights.items():
        for pattern, change in changes.items():
            if pattern.fullmatch(name):
                found[name] = made.setdefault(tensor.data_ptr(), change(tensor))
    return found
