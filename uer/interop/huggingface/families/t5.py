"""T5, T5 v1.1, UL2 and ByT5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.errors import ConfigError
from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Table, under

_SELF = {
    "layer.0.SelfAttention.q": "attention.query",
    "layer.0.SelfAttention.k": "attention.key",
    "layer.0.SelfAttention.v": "attention.value",
    "layer.0.SelfAttention.o": "attention.output",
    "layer.0.layer_norm": "attention_norm",
}
_CROSS = {
    "layer.1.EncDecAttention.q": "cross_attention.query",
    "layer.1.EncDecAttention.k": "cross_attention.key",
    "layer.1.EncDecAttention.v": "cross_attention.value",
    "layer.1.EncDecAttention.o": "cross_attention.output",
    "layer.1.layer_norm": "cross_attention_norm",
}
_POSITION = "block.0.layer.0.SelfAttention.relative_attention_bias"


class T5(Family):
    """T5 (arXiv:1910.10683) and its relatives: v1.1, UL2 (arXiv:2205.05131), ByT5.

    Where output layer and word table are one, the first T5 scales the states before it and v1.1
    does not.
    """

    parts = {
        "embedding": ["word"],
        "tgt_embedding": ["word"],
        "remove_embedding_layernorm": True,
        "share_embedding": True,
        "encoder": "transformer",
        "mask": "fully_visible",
        "decoder": "transformer",
        "position": "relative",
        "layernorm": "rms",
        "layernorm_positioning": "pre",
        "remove_transformer_bias": True,
        "remove_attention_scale": True,
    }
    keys = (
        Key("d_model", "hidden_size", 512),
        Key("d_model", "emb_size", 512),
        Key("d_kv", "attention_head_size", 64),
        Key("d_ff", "feedforward_size", 2048),
        Key("num_layers", "encoder_layers_num", 6),
        Key("num_decoder_layers", "decoder_layers_num"),
        Key("num_heads", "heads_num", 8),
        Key("relative_attention_num_buckets", "relative_attention_buckets_num", 32),
        Key("relative_attention_max_distance", "relative_attention_max_distance", 128),
        Key("dropout_rate", "dropout", 0.1),
        Key("layer_norm_epsilon", "layernorm_eps", 1e-6),
    )
    heads = {"T5Model": (), "T5ForConditionalGeneration": ("lm",)}
    aliases = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    ignored = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias",)

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`; whether the output layer is tied, only the weights say for sure."""
        found = super().ours(theirs, weights)
        found.setdefault("decoder_layers_num", found["encoder_layers_num"])
        found |= _feed_forward(theirs.get("feed_forward_proj", "relu"))
        scaled = theirs.get("scale_decoder_outputs", theirs.get("tie_word_embeddings", True))
        found["tie_weights"] = _are_one(weights, "lm_head.weight", "shared.weight")
        if scaled and not found["tie_weights"]:
            raise ConfigError(
                [
                    "scale_decoder_outputs: scaling before an output layer of its own is an option "
                    "that is not supported here; models of that kind say "
                    '"tie_word_embeddings": false.'
                ]
            )
        found["scale_tied_output"] = bool(scaled)
        return found

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        if "attention_head_size" not in values:
            found["d_kv"] = values["hidden_size"] // values["heads_num"]
        act, gated = values.get("hidden_act", "gelu"), values.get("feed_forward") == "gated"
        name = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == act)
        name = "gelu" if gated and act == "gelu_fast" else name
        found["feed_forward_proj"] = f"gated-{name}" if gated else name
        tied = bool(values.get("tie_weights"))
        found["tie_word_embeddings"] = tied and bool(values.get("scale_tied_output"))
        return found | {"is_encoder_decoder": True, "decoder_start_token_id": 0}

    def further(
        self, theirs: Config, tensors: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """See `Family.further`: what is tied, but not scaled, is written twice."""
        if theirs["tie_word_embeddings"] or "lm_head.weight" in tensors or not self._has_lm(theirs):
            return {}
        return {"lm_head.weight": tensors["shared.weight"]}

    def _has_lm(self, theirs: Config) -> bool:
        return "lm" in self.heads[theirs["architectures"][0]]

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        gated = str(theirs.get("feed_forward_proj", "relu")).startswith("gated")
        return {
            "shared": "embedding.parts.word",
            "encoder.embed_tokens": "embedding.parts.word",
            "decoder.embed_tokens": "tgt_embedding.parts.word",
            f"encoder.{_POSITION}": "encoder.position",
            f"decoder.{_POSITION}": "decoder.position",
            **under("encoder.block.{n}.", "encoder.layers.{n}.", _SELF | _inner(1, gated)),
            **under("decoder.block.{n}.", "decoder.layers.{n}.", _SELF | _CROSS | _inner(2, gated)),
            "encoder.final_layer_norm": "encoder.norm",
            "decoder.final_layer_norm": "decoder.norm",
            "lm_head": "targets.lm.output",
        }


def _are_one(weights: Mapping[str, torch.Tensor], one: str, other: str) -> bool:
    if one not in weights or other not in weights:
        return True
    return torch.equal(weights[one], weights[other])


def _inner(place: int, gated: bool) -> dict[str, str]:
    """Names of the feed-forward block, the layer's block number ``place``."""
    block = f"layer.{place}.DenseReluDense."
    return {
        block + "wi_0": "feed_forward.gate",
        block + ("wi_1" if gated else "wi"): "feed_forward.up",
        block + "wo": "feed_forward.down",
        f"layer.{place}.layer_norm": "feed_forward_norm",
    }


def _feed_forward(spec: str) -> dict[str, str]:
    """``gated-gelu`` means the approximate gelu, as nowhere else."""
    gate, _, act = spec.rpartition("-")
    act = "gelu_new" if spec == "gated-gelu" else act
    if gate not in ("", "gated") or act not in ACTIVATIONS:
        raise ConfigError([f"feed_forward_proj: {spec!r} is an option that is not supported here."])
    return {"feed_forward": "gated" if gate else "dense", "hidden_act": ACTIVATIONS[act]}
