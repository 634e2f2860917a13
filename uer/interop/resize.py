"""A model's tables, made longer or shorter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch.nn import functional as F

from uer.builder import Planner
from uer.errors import ConfigError
from uer.interop.huggingface.described import values_of
from uer.model import Model

Way = Literal["interpolate", "extend"]
Tensors = Mapping[str, torch.Tensor]

_POSITIONS = ("embedding.parts.pos.weight", "tgt_embedding.parts.pos.weight")
_WORDS = ("embedding.parts.word.weight", "tgt_embedding.parts.word.weight")
_OUTPUTS = ("mlm.output.weight", "mlm.output.bias", "lm.output.weight", "lm.output.bias")
_OF_VOCABULARY = (*_WORDS, *(f"targets.{name}" for name in _OUTPUTS))


def resize_positions(
    config: Mapping[str, Any], weights: Tensors, length: int, way: Way
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Give learnt position tables another length.

    Args:
        config: our configuration.
        weights: the model's state, tied names included.
        length: positions that the model shall know.
        way: ``interpolate`` stretches the table over the new length; ``extend`` keeps the rows and
            repeats them from the first where more are needed.

    Returns:
        The configuration and the state with the new tables.

    Raises:
        ConfigError: there is no learnt position table, it is of patches, or the length is none.
    """
    _require_positive("resize_positions", length)
    if any(name.endswith(".projection.weight") and weights[name].dim() == 4 for name in weights):
        raise ConfigError(
            [
                "resize_positions: positions of patches are stretched over images of another size "
                "when the model reads them; give images: {single: {image_height: …}} instead."
            ]
        )
    if not any(name in weights for name in _POSITIONS):
        raise ConfigError(
            [
                "resize_positions: the model has no table of positions; it takes rows of any "
                "length up to max_seq_length."
            ]
        )
    planner = Planner(config)
    offset = values_of(planner.section(Model)).get("position_offset", 0)

    def resized(table: torch.Tensor) -> torch.Tensor:
        kept, rows = table[:offset], table[offset:]
        return torch.cat(
            [
                kept,
                _stretched(rows, length)
                if way == "interpolate"
                else rows[torch.arange(length) % rows.shape[0]],
            ]
        )

    return {**config, "max_seq_length": length}, _changed(weights, _POSITIONS, resized)


def resize_vocabulary(
    config: Mapping[str, Any], weights: Tensors, size: int
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Give word tables and output layers another number of tokens.

    Rows are kept in their order, those beyond ``size`` are dropped; new ones are the mean of all.

    Args:
        config: our configuration.
        weights: the model's state, tied names included.
        size: tokens of the vocabulary.

    Returns:
        The configuration and the state with the new tables.

    Raises:
        ConfigError: the size is none.
    """
    _require_positive("resize_vocab", size)

    def resized(table: torch.Tensor) -> torch.Tensor:
        more = size - table.shape[0]
        if more <= 0:
            return table[:size].clone()
        mean = table.float().mean(0, keepdim=True).to(table.dtype)
        return torch.cat([table, mean.expand(more, *table.shape[1:])])

    facts = {**(config.get("facts") or {}), "vocab_size": size}
    return {**config, "facts": facts}, _changed(weights, _OF_VOCABULARY, resized)


def _changed(
    weights: Tensors, names: tuple[str, ...], change: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The state with some tensors changed; tied ones stay tied."""
    made: dict[int, torch.Tensor] = {}
    found = dict(weights)
    for name in names:
        if name in weights:
            table = weights[name]
            found[name] = made.setdefault(table.data_ptr(), change(table))
    return found


def _stretched(rows: torch.Tensor, length: int) -> torch.Tensor:
    """[L, E] → [length, E], linearly between neighbours; the ends stay where they are."""
    columns = rows.float().t()[None]
    made = F.interpolate(columns, size=length, mode="linear", align_corners=True)
    return made[0].t().to(rows.dtype)


def _require_positive(flag: str, value: int) -> None:
    if value < 1:
        raise ConfigError([f"--{flag} {value}: must be at least 1."])
