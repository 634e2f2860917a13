"""SigLIP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.families.clip import IMAGE, PLACES, SIZES, TEXT, VISION, Clip
from uer.interop.huggingface.names import Fused, Table, stacked, under

_POOLER = ("hidden_size", "heads_num", "feedforward_size", "hidden_act", "layernorm_eps")
_SHARED = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}


class Siglip(Clip):
    """SigLIP (arXiv:2303.15343): towers that see everything, images pooled by attention."""

    parts = {
        **{key: value for key, value in Clip.parts.items() if key != "pooling_1"},
        "pooler": "map",
    }
    streams = (
        {**Clip.streams[0], "mask": "fully_visible"},
        {
            **Clip.streams[1],
            "patch_bias": True,
            "class_token": False,
            "remove_embedding_layernorm": True,
        },
    )
    keys = ()
    tower_keys = (
        (*SIZES, PLACES, Key("projection_size", "projection_size")),
        (*SIZES, *IMAGE, Key("vision_use_head", "vision_use_head", True)),
    )
    tower_defaults = ({**_SHARED, "max_position_embeddings": 64}, {**_SHARED, "patch_size": 16})
    image_processor = "SiglipImageProcessor"
    heads = {"SiglipModel": ("siglip",)}
    data = {
        "data_processor": "siglip",
        "interpolation": "bicubic",
        "image_preprocess": [{"normalize": {"statistics": "half"}}],
    }

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; the pooling head is as large as the image tower's layers."""
        made = super().ours(theirs, weights)
        text, image = made["stream_0"], made["stream_1"]
        if not image.pop("vision_use_head"):
            raise ConfigError(
                ["vision_config.vision_use_head: an image tower without its head makes no vector."]
            )
        width = text.pop("projection_size", text["hidden_size"])
        if width != image["hidden_size"]:
            raise ConfigError(
                [
                    f"text_config.projection_size: {width} is not the image tower's hidden_size "
                    f"{image['hidden_size']}."
                ]
            )
        return made | {f"target_{key}": image[key] for key in _POOLER}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        made = super().theirs(values)
        made["text_config"]["projection_size"] = made["vision_config"]["hidden_size"]
        return made

    def names(self, theirs: Config, targets: Iterable[str]) -> Table:
        """See `Family.names`."""
        head = {
            "probe": Fused(("probe",), lambda one: [one.flatten()], lambda one: one[0][None, None]),
            "attention.in_proj_weight": stacked(*_attention("weight")),
            "attention.in_proj_bias": stacked(*_attention("bias")),
            "attention.out_proj": "attention.output",
            "layernorm": "norm",
            "mlp.fc1": "feed_forward.up",
            "mlp.fc2": "feed_forward.down",
        }
        return {
            **under("text_model.", "", TEXT),
            **under("vision_model.", "", VISION),
            "text_model.head": "targets.siglip.projection",
            **under("vision_model.head.", "targets.siglip.pooler.", head),
            "logit_scale": "targets.siglip.logit_scale",
            "logit_bias": "targets.siglip.logit_bias",
        }


def _attention(kind: str) -> list[str]:
    return [f"attention.{part}.{kind}" for part in ("query", "key", "value")]
