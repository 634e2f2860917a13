"""BART."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Fused, Table, under

LAYER: Table = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "self_attn_layer_norm": "attention_norm",
    "fc1": "feed_forward.up",
    "fc2": "feed_forward.down",
    "final_layer_norm": "feed_forward_norm",
}
CROSS: Table = {
    "encoder_attn.q_proj": "cross_attention.query",
    "encoder_attn.k_proj": "cross_attention.key",
    "encoder_attn.v_proj": "cross_attention.value",
    "encoder_attn.out_proj": "cross_attention.output",
    "encoder_attn_layer_norm": "cross_attention_norm",
}
_FIRST = 2  # rows of the position tables before the first position
PARTS = {
    "embedding": ["word", "pos"],
    "tgt_embedding": ["word", "pos"],
    "share_embedding": True,
    "encoder": "transformer",
    "mask": "fully_visible",
    "decoder": "transformer",
    "layernorm": "normal",
    "layernorm_positioning": "post",
    "layernorm_eps": 1e-5,
    "has_lmtarget_bias": True,
}
KEYS = (
    Key("d_model", "hidden_size", 1024),
    Key("d_model", "emb_size", 1024),
    Key("encoder_layers", "encoder_layers_num", 12),
    Key("decoder_layers", "decoder_layers_num", 12),
    Key("encoder_attention_heads", "encoder_heads_num", 16),
    Key("decoder_attention_heads", "decoder_heads_num", 16),
    Key("encoder_ffn_dim", "encoder_feedforward_size", 4096),
    Key("decoder_ffn_dim", "decoder_feedforward_size", 4096),
    Key("activation_function", "hidden_act", "gelu", ACTIVATIONS),
    Key("dropout", "dropout", 0.1),
    Key("attention_dropout", "attention_dropout", 0.0),
    Key("scale_embedding", "scale_embedding", False),
    Key("max_position_embeddings", "max_seq_length", 1024),
    Key("tie_word_embeddings", "tie_weights", True),
)


class Bart(Family):
    """BART (arXiv:1910.13461)."""

    parts = {**PARTS, "position_offset": _FIRST}
    keys = KEYS
    heads = {"BartModel": (), "BartForConditionalGeneration": ("lm",)}
    prefix = "model."
    aliases = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
    }
    demanded = {"normalize_before": False, "normalize_embedding": True}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        return {**super().theirs(values), "is_encoder_decoder": True}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        bias = Fused(
            ("targets.lm.output.bias",), lambda row: [row[0]], lambda parts: parts[0][None]
        )
        return {
            "model.shared": "embedding.parts.word",
            "model.encoder.embed_tokens": "embedding.parts.word",
            "model.decoder.embed_tokens": "tgt_embedding.parts.word",
            "model.encoder.embed_positions": "embedding.parts.pos",
            "model.decoder.embed_positions": "tgt_embedding.parts.pos",
            "model.encoder.layernorm_embedding": "embedding.norm",
            "model.decoder.layernorm_embedding": "tgt_embedding.norm",
            **under("model.encoder.layers.{n}.", "encoder.layers.{n}.", LAYER),
            **under("model.decoder.layers.{n}.", "decoder.layers.{n}.", {**LAYER, **CROSS}),
            "model.encoder.layer_norm": "encoder.norm",
            "model.decoder.layer_norm": "decoder.norm",
            "final_logits_bias": bias,
            "lm_head.weight": "targets.lm.output.weight",
        }
