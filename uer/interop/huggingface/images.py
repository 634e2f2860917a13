"""What the families of models that read images share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from uer.errors import ConfigError
from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Table, boxed

LAYER: Table = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.output",
    "layernorm_before": "attention_norm",
    "layernorm_after": "feed_forward_norm",
    "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
}
PARTS = {
    "embedding": ["patch", "pos"],
    "remove_embedding_layernorm": True,
    "encoder": "transformer",
    "mask": "fully_visible",
    "layernorm": "normal",
    "layernorm_positioning": "pre",
    "classifier_hidden": False,
}
IMAGE_KEYS = (
    Key("image_size", "image_height", 224),
    Key("image_size", "image_width", 224),
    Key("patch_size", "patch_size", 16),
    Key("num_channels", "channels_num", 3),
)
KEYS = (
    Key("hidden_size", "hidden_size", 768),
    Key("hidden_size", "emb_size", 768),
    Key("num_hidden_layers", "layers_num", 12),
    Key("num_attention_heads", "heads_num", 12),
    Key("intermediate_size", "feedforward_size", 3072),
    Key("hidden_act", "hidden_act", "gelu", ACTIVATIONS),
    Key("hidden_dropout_prob", "dropout", 0.0),
    Key("attention_probs_dropout_prob", "attention_dropout", 0.0),
    Key("layer_norm_eps", "layernorm_eps", 1e-12),
    *IMAGE_KEYS,
)


def embeddings(patch: str = "patch", tokens: int = 1) -> Table:
    """Names of an embedding of patches.

    Args:
        patch: our part.
        tokens: axes that their vectors have before their own.
    """
    return {
        "cls_token": boxed(f"parts.{patch}.class_token", 2),
        "mask_token": boxed(f"parts.{patch}.mask_vector", tokens),
        "distillation_token": boxed(f"parts.{patch}.distillation_token", 2),
        "patch_embeddings.projection": f"parts.{patch}.projection",
        "position_embeddings": boxed("parts.pos.weight", 1),
    }


class ImageFamily(Family):
    """A family that reads images.

    Attributes:
        tokens: how many stand before the patches.
    """

    classifier: ClassVar[Config] = {"task": "image_classifier", "data_processor": "vit"}
    reads_text = False
    image_processor = "ViTImageProcessor"
    tokens: ClassVar[int] = 1

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`; sizes may be pairs there, and positions follow from them."""
        found = super().ours(theirs, weights)
        height, width = _pair(found["image_height"], "image_size")
        side, other = _pair(found["patch_size"], "patch_size")
        if side != other:
            raise ConfigError([f"patch_size: {side} x {other} is no square, as is needed here."])
        positions = self.tokens + (height // side) * (width // side)
        sizes = {"image_height": height, "image_width": width, "patch_size": side}
        return {**found, **sizes, "max_seq_length": positions}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        size = [values["image_height"], values["image_width"]]
        return {**found, "image_size": size[0] if size[0] == size[1] else size}


def _pair(size: Any, key: str) -> tuple[int, int]:
    """A size that may be one number for both sides."""
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise ConfigError([f"{key}: {size!r} is neither a number of pixels nor a pair of them."])
    return sides[0], sides[1]
