"""BLOOM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from uer.errors import ConfigError
from uer.interop.huggingface.base import SCORE_HEAD, Config, Family, Key
from uer.interop.huggingface.names import Fused, Table, under


class Bloom(Family):
    """BLOOM (arXiv:2211.05100): ALiBi, and a norm after the embeddings."""

    parts = {
        "embedding": ["word"],
        "encoder": "transformer",
        "mask": "causal",
        "position": "alibi",
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        "hidden_act": "gelu_fast",
        "embedding_dropout": 0.0,
        **SCORE_HEAD,
    }
    keys = (
        Key("hidden_size", "hidden_size", 64),
        Key("hidden_size", "emb_size", 64),
        Key("n_layer", "layers_num", 2),
        Key("n_head", "heads_num", 8),
        Key("hidden_dropout", "dropout", 0.0),
        Key("attention_dropout", "attention_dropout", 0.0),
        Key("layer_norm_epsilon", "layernorm_eps", 1e-5),
        Key("tie_word_embeddings", "tie_weights", True),
    )
    demanded = {"apply_residual_connection_post_layernorm": False}
    heads = {
        "BloomModel": (),
        "BloomForCausalLM": ("lm",),
        "BloomForSequenceClassification": ("cls",),
    }
    prefix = "transformer."
    aliases = {
        "n_embed": "hidden_size",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
    }

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        return found | {"feedforward_size": 4 * found["hidden_size"]}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`.

        Raises:
            ConfigError: several heads share keys and values.
        """
        if values.get("kv_heads_num", values["heads_num"]) != values["heads_num"]:
            raise ConfigError(["there every head has keys and values of its own."])
        return super().theirs(values)

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`; queries, keys and values are interleaved head by head."""
        heads = theirs.get("n_head", 8)

        def split(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
            return [part.flatten(0, 1) for part in tensor.unflatten(0, (heads, 3, -1)).unbind(1)]

        def join(parts: Sequence[torch.Tensor]) -> torch.Tensor:
            return torch.stack([p.unflatten(0, (heads, -1)) for p in parts], dim=1).flatten(0, 2)

        fused = Fused(("attention.query", "attention.key", "attention.value"), split, join)
        layer: Table = {
            "input_layernorm": "attention_norm",
            "self_attention.query_key_value": fused,
            "self_attention.dense": "attention.output",
            "post_attention_layernorm": "feed_forward_norm",
            "mlp.dense_h_to_4h": "feed_forward.up",
            "mlp.dense_4h_to_h": "feed_forward.down",
        }
        return {
            "transformer.word_embeddings": "embedding.parts.word",
            "transformer.word_embeddings_layernorm": "embedding.norm",
            **under("transformer.h.{n}.", "encoder.layers.{n}.", layer),
            "transformer.ln_f": "encoder.norm",
            "lm_head": "targets.lm.output",
            "score": "targets.cls.output",
        }
