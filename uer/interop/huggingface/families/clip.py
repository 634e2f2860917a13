"""CLIP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import (
    ACTIVATIONS,
    Config,
    Family,
    Key,
    read_keys,
    written_keys,
)
from uer.interop.huggingface.names import Table, under

LAYER: Table = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "layer_norm1": "attention_norm",
    "mlp.fc1": "feed_forward.up",
    "mlp.fc2": "feed_forward.down",
    "layer_norm2": "feed_forward_norm",
}
TEXT: Table = {
    "embeddings.token_embedding": "embedding.streams.0.parts.word",
    "embeddings.position_embedding": "embedding.streams.0.parts.pos",
    **under("encoder.layers.{n}.", "encoder.streams.0.layers.{n}.", LAYER),
    "final_layer_norm": "encoder.streams.0.norm",
}
VISION: Table = {
    "embeddings.class_embedding": "embedding.streams.1.parts.patch.class_token",
    "embeddings.patch_embedding": "embedding.streams.1.parts.patch.projection",
    "embeddings.position_embedding": "embedding.streams.1.parts.pos",
    **under("encoder.layers.{n}.", "encoder.streams.1.layers.{n}.", LAYER),
    "post_layernorm": "encoder.streams.1.norm",
}
SIZES = (
    Key("hidden_size", "hidden_size", 512),
    Key("hidden_size", "emb_size", 512),
    Key("num_hidden_layers", "layers_num", 12),
    Key("num_attention_heads", "heads_num", 8),
    Key("intermediate_size", "feedforward_size", 2048),
    Key("attention_dropout", "attention_dropout", 0.0),
    Key("hidden_act", "hidden_act", "quick_gelu", ACTIVATIONS),
    Key("layer_norm_eps", "layernorm_eps", 1e-5),
)
PLACES = Key("max_position_embeddings", "max_seq_length", 77)
IMAGE = (
    Key("image_size", "image_height", 224),
    Key("image_size", "image_width", 224),
    Key("patch_size", "patch_size", 32),
    Key("num_channels", "channels_num", 3),
)


class Clip(Family):
    """CLIP (arXiv:2103.00020): a causal text tower and a ViT with a norm behind its embedding."""

    parts = {
        "embedding": "dual",
        "encoder": "dual",
        "dropout": 0.0,
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        "pooling": "last",  # the end of the text
        "pooling_1": "first",
    }
    streams = (
        {
            "embedding": ["word", "pos"],
            "remove_embedding_layernorm": True,
            "encoder": "transformer",
            "mask": "causal",
        },
        {
            "embedding": ["patch", "pos"],
            "patch_bias": False,
            "class_token": True,
            "encoder": "transformer",
            "mask": "fully_visible",
        },
    )
    keys = (Key("projection_dim", "feature_size", 512),)
    tower_keys: tuple[Sequence[Key], Sequence[Key]] = ((*SIZES, PLACES), (*SIZES, *IMAGE))
    tower_defaults: tuple[Config, Config] = (
        {},
        {
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
        },
    )
    image_processor = "CLIPImageProcessor"
    heads = {"CLIPModel": ("clr",)}
    data = {
        "data_processor": "clip",
        "interpolation": "bicubic",
        "image_preprocess": [{"normalize": {"statistics": "clip"}}],
    }
    ignored = (
        "text_model.embeddings.position_ids",
        "vision_model.embeddings.position_ids",
    )

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; each tower is a section of theirs and a stream of ours."""
        found, problems = read_keys(self.keys, theirs, self.defaults, self.demanded)
        made = {**self.parts, **found}
        for number, tower in enumerate(("text_config", "vision_config")):
            section = theirs.get(tower) or {}
            own, wrong = read_keys(
                self.tower_keys[number], section, self.tower_defaults[number], {}
            )
            problems += [f"{tower}.{one}" for one in wrong]
            made[f"stream_{number}"] = {**self.streams[number], **own}
        if problems:
            raise ConfigError(problems)
        image = made["stream_1"]
        patches = (image["image_height"] // image["patch_size"]) ** 2
        image["max_seq_length"] = patches + int(image["class_token"])
        # What the data path has to know, too, stands outside of the streams.
        return made | {key.ours: image.pop(key.ours) for key in IMAGE}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        made = super().theirs(values)
        for number, tower in enumerate(("text_config", "vision_config")):
            own = _below(f"stream_{number}.", values)
            kind = f"{self.model_type}_{tower.removesuffix('_config')}_model"
            made[tower] = {"model_type": kind, **written_keys(self.tower_keys[number], own)}
        return made

    def place(self, config: dict[str, Any], facts: Config) -> None:
        """See `Family.place`; it is the text tower that knows tokens."""
        config["text_config"].update(facts)

    def names(self, theirs: Config, targets: Iterable[str]) -> Table:
        """See `Family.names`."""
        return {
            **under("text_model.", "", TEXT),
            **under("vision_model.", "", VISION),
            "vision_model.pre_layrnorm": "embedding.streams.1.norm",
            "text_projection": "targets.clr.projections.0",
            "visual_projection": "targets.clr.projections.1",
            "logit_scale": "targets.clr.logit_scale",
        }


def _below(prefix: str, values: Config) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
