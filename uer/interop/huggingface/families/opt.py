"""OPT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import ACTIVATIONS, NOT, SCORE_HEAD, Config, Family, Key
from uer.interop.huggingface.names import Table, under

_FIRST = 2  # rows of the position table before the first position
_LAYER: Table = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "self_attn_layer_norm": "attention_norm",
    "fc1": "feed_forward.up",
    "fc2": "feed_forward.down",
    "final_layer_norm": "feed_forward_norm",
}


class Opt(Family):
    """OPT (arXiv:2205.01068), those with norms before the blocks."""

    parts = {
        "embedding": ["word", "pos"],
        "embedding_dropout": 0.0,
        "remove_embedding_layernorm": True,
        "position_offset": _FIRST,
        "encoder": "transformer",
        "mask": "causal",
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        "layernorm_eps": 1e-5,
        **SCORE_HEAD,
    }
    keys = (
        Key("hidden_size", "hidden_size", 768),
        Key("hidden_size", "emb_size", 768),
        Key("num_hidden_layers", "layers_num", 12),
        Key("num_attention_heads", "heads_num", 12),
        Key("ffn_dim", "feedforward_size", 3072),
        Key("max_position_embeddings", "max_seq_length", 2048),
        Key("activation_function", "hidden_act", "relu", ACTIVATIONS),
        Key("enable_bias", "remove_transformer_bias", True, NOT),
        Key("dropout", "dropout", 0.1),
        Key("attention_dropout", "attention_dropout", 0.0),
        Key("tie_word_embeddings", "tie_weights", True),
    )
    demanded = {
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
    }
    heads = {
        "OPTModel": (),
        "OPTForCausalLM": ("lm",),
        "OPTForSequenceClassification": ("cls",),
    }
    prefix = "model."

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        width = theirs.get("word_embed_proj_dim") or found["hidden_size"]
        if width != found["hidden_size"]:
            raise ConfigError(
                [
                    f"word_embed_proj_dim: {width} is not hidden_size {found['hidden_size']}; the "
                    "projection behind the last layer is an option that is not supported here."
                ]
            )
        return found

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        return {**super().theirs(values), "word_embed_proj_dim": values["hidden_size"]}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            "model.decoder.embed_tokens": "embedding.parts.word",
            "model.decoder.embed_positions": "embedding.parts.pos",
            **under("model.decoder.layers.{n}.", "encoder.layers.{n}.", _LAYER),
            "model.decoder.final_layer_norm": "encoder.norm",
            "lm_head": "targets.lm.output",
            "score": "targets.cls.output",
        }
