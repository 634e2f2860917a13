"""ModernBERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Table, stacked, under

_LAYER: Table = {
    "attn_norm": "attention_norm",
    "attn.Wqkv": stacked("attention.query", "attention.key", "attention.value"),
    "attn.Wo": "attention.output",
    "mlp_norm": "feed_forward_norm",
    "mlp.Wi": stacked("feed_forward.gate", "feed_forward.up"),
    "mlp.Wo": "feed_forward.down",
}
_THETA = {"full_attention": ("global", 160000.0), "sliding_attention": ("local", 10000.0)}


class ModernBert(Family):
    """ModernBERT (arXiv:2412.13663): rotary positions, gates, and mostly local attention."""

    parts = {
        "embedding": ["word"],
        "encoder": "transformer",
        "mask": "fully_visible",
        "position": "rotary",
        "feed_forward": "gated",
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        "first_layernorm": False,
    }
    keys = (
        Key("hidden_size", "hidden_size", 768),
        Key("hidden_size", "emb_size", 768),
        Key("num_hidden_layers", "layers_num", 22),
        Key("num_attention_heads", "heads_num", 12),
        Key("intermediate_size", "feedforward_size", 1152),
        Key("hidden_activation", "hidden_act", "gelu", ACTIVATIONS),
        Key("classifier_activation", "target_hidden_act", "gelu", ACTIVATIONS),
        Key("classifier_bias", "mlm_transform_bias", False),
        Key("max_position_embeddings", "max_seq_length", 8192),
        Key("norm_eps", "layernorm_eps", 1e-5),
        Key("norm_bias", "layernorm_bias", False),
        Key("mlp_dropout", "dropout", 0.0),
        Key("embedding_dropout", "embedding_dropout", 0.0),
        Key("attention_dropout", "attention_dropout", 0.0),
        Key("tie_word_embeddings", "tie_weights", True),
    )
    demanded = {"decoder_bias": True}
    heads = {"ModernBertModel": (), "ModernBertForMaskedLM": ("mlm",)}
    prefix = "model."

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        bias, inner = (bool(theirs.get(key)) for key in ("attention_bias", "mlp_bias"))
        if bias != inner:
            raise ConfigError(
                [
                    "attention_bias, mlp_bias: biases in one of the two blocks only are an option "
                    "that is not supported here."
                ]
            )
        thetas = [_theta(theirs, kind) for kind in _THETA]
        return found | {
            "remove_transformer_bias": not bias,
            "attention_window": theirs.get("local_attention", 128) // 2,
            "global_attention_every": _every(theirs, found["layers_num"]),
            "rope_theta": thetas[0],
            "local_position": {"rotary": {"rope_theta": thetas[1]}},
        }

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        bias = not values.get("remove_transformer_bias", False)
        theta = values.get("rope_theta", 10000.0)
        return found | {
            "attention_bias": bias,
            "mlp_bias": bias,
            "local_attention": 2 * values.get("attention_window", 64),
            "global_attn_every_n_layers": values.get("global_attention_every", 1),
            "global_rope_theta": theta,
            "local_rope_theta": values.get("local_position.rope_theta", theta),
        }

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            "model.embeddings.tok_embeddings": "embedding.parts.word",
            "model.embeddings.norm": "embedding.norm",
            **under("model.layers.{n}.", "encoder.layers.{n}.", _LAYER),
            "model.final_norm": "encoder.norm",
            "head.dense": "targets.mlm.transform",
            "head.norm": "targets.mlm.norm",
            "decoder": "targets.mlm.output",
        }


def _theta(theirs: Config, kind: str) -> float:
    """The base of wave lengths in the layers of one kind."""
    name, default = _THETA[kind]
    rope = (theirs.get("rope_parameters") or {}).get(kind) or {}
    rope = {**rope, **(theirs.get("rope_scaling") or {})}
    if rope.get("rope_type", "default") != "default":
        raise ConfigError(
            [f"rope_parameters: {rope['rope_type']!r} is an option that is not supported here."]
        )
    found = rope.get("rope_theta", theirs.get(f"{name}_rope_theta", default))
    return float(_theta(theirs, "full_attention") if found is None else found)


def _every(theirs: Config, layers: int) -> int:
    """In every so many layers, from the first, tokens see everything."""
    kinds = theirs.get("layer_types")
    if kinds is None:
        return theirs.get("global_attn_every_n_layers", 3)
    if len(kinds) != layers:
        raise ConfigError(
            [f"layer_types: there are {len(kinds)} for {layers} layers (num_hidden_layers)."]
        )
    found = [n for n in range(layers) if kinds[n] == "full_attention"]
    every = found[1] if len(found) > 1 else layers
    if found != list(range(0, layers, every)):
        raise ConfigError(
            ["layer_types: layers of full attention at uneven distances are not supported here."]
        )
    return every
