"""LLaMA."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import ACTIVATIONS, SCORE_HEAD, Config, Family, Key
from uer.interop.huggingface.names import Table, under
from uer.interop.huggingface.rope import read_rope, write_rope

LAYER: Table = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.output",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "post_attention_layernorm": "feed_forward_norm",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.up",
    "mlp.down_proj": "feed_forward.down",
}
PARTS = {
    "embedding": ["word"],
    "remove_embedding_layernorm": True,
    "encoder": "transformer",
    "mask": "causal",
    "position": "rotary",
    "layernorm": "rms",
    "layernorm_positioning": "pre",
    "feed_forward": "gated",
    "remove_transformer_bias": True,
    "dropout": 0.0,
    **SCORE_HEAD,
}
KEYS = (
    Key("hidden_size", "hidden_size", 4096),
    Key("hidden_size", "emb_size", 4096),
    Key("intermediate_size", "feedforward_size", 11008),
    Key("num_hidden_layers", "layers_num", 32),
    Key("num_attention_heads", "heads_num", 32),
    Key("num_key_value_heads", "kv_heads_num"),
    Key("head_dim", "attention_head_size"),
    Key("hidden_act", "hidden_act", "silu", ACTIVATIONS),
    Key("max_position_embeddings", "max_seq_length", 2048),
    Key("rms_norm_eps", "layernorm_eps", 1e-6),
    Key("attention_dropout", "attention_dropout", 0.0),
    Key("tie_word_embeddings", "tie_weights", False),
)


def window_of(theirs: Config, kinds: Iterable[str]) -> int | None:
    """Tokens of the window of all layers, the token itself included; None: they see everything.

    Args:
        theirs: the content of config.json.
        kinds: of the layers, where it does not say ``layer_types``.

    Raises:
        ConfigError: layers of several kinds, or of another one.
    """
    found = set(theirs.get("layer_types") or kinds)
    if len(found) > 1:
        raise ConfigError(
            [
                "layer_types, max_window_layers: a window in some of the layers only is an option "
                "that is not supported here."
            ]
        )
    strange = found - {"full_attention", "sliding_attention"}
    if strange:
        raise ConfigError(
            [f"layer_types: {strange.pop()!r} is an option that is not supported here."]
        )
    return theirs.get("sliding_window", 4096) if "sliding_attention" in found else None


class Llama(Family):
    """LLaMA (arXiv:2302.13971) and models built like it."""

    parts = PARTS
    keys = KEYS
    heads = {
        "LlamaModel": (),
        "LlamaForCausalLM": ("lm",),
        "LlamaForSequenceClassification": ("cls",),
    }
    prefix = "model."
    ignored = ("model.layers.{n}.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq")
    theta = 10000.0

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        found.setdefault("kv_heads_num", found["heads_num"])
        return found | read_rope(theirs, self.theta) | self.biases(theirs)

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        found.setdefault("num_key_value_heads", values["heads_num"])
        if "head_dim" in self.defaults:
            found.setdefault("head_dim", values["hidden_size"] // values["heads_num"])
        if "rope_theta" in values:
            found |= write_rope(values)
        return found | self.write_biases(values)

    def biases(self, theirs: Config) -> dict[str, Any]:
        """Our keys that say which linear maps have a bias: all of them or none."""
        attention, inner = (bool(theirs.get(key)) for key in ("attention_bias", "mlp_bias"))
        if attention != inner:
            raise ConfigError(
                [
                    "attention_bias, mlp_bias: biases in one of the two blocks only are an option "
                    "that is not supported here."
                ]
            )
        return {"remove_transformer_bias": not attention}

    def write_biases(self, values: Config) -> dict[str, Any]:
        """The counterpart of `biases`."""
        bias = not values.get("remove_transformer_bias", False)
        return {"attention_bias": bias, "mlp_bias": bias}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            "model.embed_tokens": "embedding.parts.word",
            **under("model.layers.{n}.", "encoder.layers.{n}.", LAYER),
            "model.norm": "encoder.norm",
            "lm_head": "targets.lm.output",
            "score": "targets.cls.output",
        }
