"""BEiT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.errors import ConfigError
from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.images import KEYS, LAYER, PARTS, ImageFamily, embeddings
from uer.interop.huggingface.names import Table, under

_RELATIVE = "relative_position_bias.relative_position_bias_table"
_INDEX = "relative_position_bias.relative_position_index"


class Beit(ImageFamily):
    """BEiT (arXiv:2106.08254): masked patches, relative positions, scaled layers.

    In pre-training a table of positions is shared by the layers; fine-tuned, each has its own.
    """

    parts = {**PARTS, "key_bias": False}
    keys = (
        *KEYS,
        Key("drop_path_rate", "drop_path", 0.1),
        Key("vocab_size", "codes_num", 8192),
    )
    image_processor = "BeitImageProcessor"
    heads = {
        "BeitModel": (),
        "BeitForMaskedImageModeling": ("codes",),
        "BeitForImageClassification": ("cls",),
    }
    prefix = "beit."
    ignored = (
        f"beit.encoder.{_INDEX}",
        f"beit.encoder.layer.{{n}}.attention.attention.{_INDEX}",
    )

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        absolute = theirs.get("use_absolute_position_embeddings", False)
        found["embedding"] = [_patch(theirs), *(["pos"] if absolute else [])]
        if theirs.get("use_relative_position_bias", False):
            found |= {"attention": "positioned", "own_position": "patch_relative"}
        if theirs.get("use_shared_relative_position_bias", False):
            found["position"] = "patch_relative"
        scale = theirs.get("layer_scale_init_value", 0.1)
        if scale > 0:
            found |= {"layer": "scaled", "layer_scale": scale}
        masked, mean = "lm_head.weight" in weights, _mean(theirs)
        if masked and not mean:
            raise ConfigError(
                ["use_mean_pooling: False is an option that is not supported with a masked head."]
            )
        if mean:
            found |= {"last_layernorm": masked, "pooling": "patches", "pooled_norm": "normal"}
        return found

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        parts, targets = values["parts"], values["target"]
        return {
            **super().theirs(values),
            "use_mask_token": "masked_patch" in parts,
            "use_absolute_position_embeddings": "pos" in parts,
            "use_relative_position_bias": values["attention"] == "positioned",
            "use_shared_relative_position_bias": values.get("position") == "patch_relative",
            "layer_scale_init_value": values.get("layer_scale", 0.0),
            "use_mean_pooling": "codes" in targets or not values["last_layernorm"],
        }

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`; the masked head's norm is the encoder's here."""
        own = "attention." if theirs.get("use_relative_position_bias", False) else ""
        layer = {
            name: entry.replace("attention.", f"attention.{own}")
            if isinstance(entry, str) and name.startswith("attention.")
            else entry
            for name, entry in LAYER.items()
        }
        return {
            **under("beit.embeddings.", "embedding.", embeddings(_patch(theirs), 2)),
            **under("beit.encoder.layer.{n}.", "encoder.layers.{n}.", layer),
            "beit.encoder.layer.{n}.lambda_1": "encoder.layers.{n}.attention_scale",
            "beit.encoder.layer.{n}.lambda_2": "encoder.layers.{n}.feed_forward_scale",
            f"beit.encoder.layer.{{n}}.attention.attention.{_RELATIVE}": (
                "encoder.layers.{n}.attention.position.weight"
            ),
            f"beit.encoder.{_RELATIVE}": "encoder.position.weight",
            "layernorm" if _mean(theirs) else "beit.layernorm": "encoder.norm",
            "beit.pooler.layernorm": "targets.cls.norm",
            "lm_head": "targets.codes.output",
            "classifier": "targets.cls.output",
        }


def _patch(theirs: Config) -> str:
    return "masked_patch" if theirs.get("use_mask_token", False) else "patch"


def _mean(theirs: Config) -> bool:
    return bool(theirs.get("use_mean_pooling", True))
