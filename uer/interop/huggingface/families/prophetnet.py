"""ProphetNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key, first_position
from uer.interop.huggingface.names import Table, under

_LAYER: Table = {
    "self_attn.query_proj": "attention.query",
    "self_attn.key_proj": "attention.key",
    "self_attn.value_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "self_attn_layer_norm": "attention_norm",
    "feed_forward.intermediate": "feed_forward.up",
    "feed_forward.output": "feed_forward.down",
    "feed_forward_layer_norm": "feed_forward_norm",
}
_DECODER: Table = {
    "self_attn.relative_pos_embeddings": "attention.relative",
    "cross_attn.query_proj": "cross_attention.query",
    "cross_attn.key_proj": "cross_attention.key",
    "cross_attn.value_proj": "cross_attention.value",
    "cross_attn.out_proj": "cross_attention.output",
    "cross_attn_layer_norm": "cross_attention_norm",
}


class ProphetNet(Family):
    """ProphetNet (arXiv:2001.04063): positions begin behind the id of padding."""

    parts = {
        "embedding": ["word", "pos"],
        "tgt_embedding": "prophetnet",
        "share_embedding": True,
        "encoder": "transformer",
        "mask": "fully_visible",
        "decoder": "prophetnet",
        "layernorm": "normal",
        "layernorm_positioning": "post",
        "layernorm_eps": 1e-5,
    }
    keys = (
        Key("hidden_size", "hidden_size", 1024),
        Key("hidden_size", "emb_size", 1024),
        Key("num_encoder_layers", "encoder_layers_num", 12),
        Key("num_decoder_layers", "decoder_layers_num", 12),
        Key("num_encoder_attention_heads", "encoder_heads_num", 16),
        Key("num_decoder_attention_heads", "decoder_heads_num", 16),
        Key("encoder_ffn_dim", "encoder_feedforward_size", 4096),
        Key("decoder_ffn_dim", "decoder_feedforward_size", 4096),
        Key("activation_function", "hidden_act", "gelu", ACTIVATIONS),
        Key("dropout", "dropout", 0.1),
        Key("attention_dropout", "attention_dropout", 0.1),
        Key("ngram", "ngram", 2),
        Key("num_buckets", "relative_attention_buckets_num", 32),
        Key("relative_max_distance", "relative_attention_max_distance", 128),
        Key("disable_ngram_loss", "ngram_attenuation", False, {False: 1.0, True: 0.0}),
        Key("eps", "label_smoothing", 0.0),
        Key("tie_word_embeddings", "tie_weights", True),
    )
    heads = {"ProphetNetModel": (), "ProphetNetForConditionalGeneration": ("ngram",)}
    prefix = "prophetnet."
    aliases = {"num_attention_heads": "num_encoder_attention_heads"}

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        offset = first_position(theirs, 0)
        length = theirs.get("max_position_embeddings", 512) - offset
        found = super().ours(theirs, weights)
        return found | {"position_offset": offset, "max_seq_length": length}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        offset = values.get("position_offset", 0)
        length = values.get("max_seq_length", 0) + offset
        found = super().theirs(values)
        pad = offset - 1 if offset else None  # none: not the same model
        return found | {"pad_token_id": pad, "max_position_embeddings": length}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        encoder = {
            "word_embeddings": "embedding.parts.word",
            "position_embeddings": "embedding.parts.pos",
            "embeddings_layer_norm": "embedding.norm",
            **under("layers.{n}.", "encoder.layers.{n}.", _LAYER),
        }
        decoder = {
            "word_embeddings": "tgt_embedding.word",
            "position_embeddings": "tgt_embedding.pos",
            "embeddings_layer_norm": "tgt_embedding.norm",
            "ngram_embeddings.weight": "tgt_embedding.streams",
            **under("layers.{n}.", "decoder.layers.{n}.", {**_LAYER, **_DECODER}),
        }
        return {
            "prophetnet.word_embeddings": "embedding.parts.word",
            **under("prophetnet.encoder.", "", encoder),
            **under("prophetnet.decoder.", "", decoder),
            "lm_head": "targets.ngram.output",
        }
