"""DINOv2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.interop.huggingface.base import ACTIVATIONS, Config, Key
from uer.interop.huggingface.images import KEYS, LAYER, PARTS, ImageFamily, embeddings
from uer.interop.huggingface.names import Table, stacked, under

_LAYER: Table = {
    **{name: ours for name, ours in LAYER.items() if name.startswith("attention.")},
    "norm1": "attention_norm",
    "norm2": "feed_forward_norm",
    "layer_scale1.lambda1": "attention_scale",
    "layer_scale2.lambda1": "feed_forward_scale",
}
_PLAIN: Table = {"mlp.fc1": "feed_forward.up", "mlp.fc2": "feed_forward.down"}
_GATED: Table = {
    "mlp.weights_in.weight": stacked("feed_forward.gate.weight", "feed_forward.up.weight"),
    "mlp.weights_in.bias": stacked("feed_forward.gate.bias", "feed_forward.up.bias"),
    "mlp.weights_out": "feed_forward.down",
}


class Dinov2(ImageFamily):
    """DINOv2 (arXiv:2304.07193): ViT with scaled layers; the largest has gated blocks."""

    parts = {**PARTS, "layer": "scaled", "beside_patches": True}
    keys = (
        *(key for key in KEYS if key.ours not in ("feedforward_size", "hidden_act")),
        Key("qkv_bias", "qkv_bias", True),
        Key("layerscale_value", "layer_scale", 1.0),
        Key("drop_path_rate", "drop_path", 0.0),
        Key("hidden_act", "hidden_act", "gelu", ACTIVATIONS),
    )
    defaults = {"layer_norm_eps": 1e-6, "patch_size": 14}
    image_processor = "BitImageProcessor"
    stretches = True
    heads = {"Dinov2Model": (), "Dinov2ForImageClassification": ("cls",)}
    prefix = "dinov2."

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`; inner widths are multiples there."""
        found = super().ours(theirs, weights)
        found["embedding"] = [_patch(theirs), "pos"]
        width = int(found["hidden_size"] * theirs.get("mlp_ratio", 4))
        if theirs.get("use_swiglu_ffn", False):
            gated = {"feed_forward": "gated", "hidden_act": "silu"}
            return {**found, **gated, "feedforward_size": _gated(width)}
        return {**found, "feedforward_size": width}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        gated = values["feed_forward"] == "gated"
        hidden, inner = values["hidden_size"], values["feedforward_size"]
        ratios = range(1, 17)
        widths = {n: _gated(n * hidden) if gated else n * hidden for n in ratios}
        return {
            **super().theirs(values),
            "use_mask_token": "masked_patch" in values["parts"],
            "use_swiglu_ffn": gated,
            "mlp_ratio": next((n for n in ratios if widths[n] == inner), 4),
        }

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        layer = {**_LAYER, **(_GATED if theirs.get("use_swiglu_ffn", False) else _PLAIN)}
        return {
            **under("dinov2.embeddings.", "embedding.", embeddings(_patch(theirs), 1)),
            **under("dinov2.encoder.layer.{n}.", "encoder.layers.{n}.", layer),
            "dinov2.layernorm": "encoder.norm",
            "classifier": "targets.cls.output",
        }


def _gated(width: int) -> int:
    """Two thirds of an inner width, rounded up to a multiple of 8."""
    return (int(width * 2 / 3) + 7) // 8 * 8


def _patch(theirs: Config) -> str:
    return "masked_patch" if theirs.get("use_mask_token", True) else "patch"
