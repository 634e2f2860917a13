"""GPT-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from uer.interop.huggingface.base import ACTIVATIONS, NOT, SCORE_HEAD, Config, Family, Key
from uer.interop.huggingface.names import Fused, Table, transposed, under


def _split(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    return [part.t() if part.dim() == 2 else part for part in tensor.chunk(3, dim=-1)]


def _join(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.t() if part.dim() == 2 else part for part in parts], dim=-1)


_LAYER: Table = {
    "ln_1": "attention_norm",
    "attn.c_attn": Fused(("attention.query", "attention.key", "attention.value"), _split, _join),
    "attn.c_proj": transposed("attention.output"),
    "ln_2": "feed_forward_norm",
    "mlp.c_fc": transposed("feed_forward.up"),
    "mlp.c_proj": transposed("feed_forward.down"),
}


class Gpt2(Family):
    """GPT-2 (Radford et al. 2019); its matrices are stored as [in, out]."""

    parts = {
        "embedding": ["word", "pos"],
        "remove_embedding_layernorm": True,
        "encoder": "transformer",
        "mask": "causal",
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        **SCORE_HEAD,
    }
    keys = (
        Key("n_embd", "hidden_size", 768),
        Key("n_embd", "emb_size", 768),
        Key("n_layer", "layers_num", 12),
        Key("n_head", "heads_num", 12),
        Key("n_inner", "feedforward_size"),
        Key("n_positions", "max_seq_length", 1024),
        Key("activation_function", "hidden_act", "gelu_new", ACTIVATIONS),
        Key("resid_pdrop", "dropout", 0.1),
        Key("embd_pdrop", "embedding_dropout", 0.1),
        Key("attn_pdrop", "attention_dropout", 0.1),
        Key("layer_norm_epsilon", "layernorm_eps", 1e-5),
        Key("scale_attn_weights", "remove_attention_scale", True, NOT),
        Key("tie_word_embeddings", "tie_weights", True),
    )
    demanded = {"scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    heads = {
        "GPT2Model": (),
        "GPT2LMHeadModel": ("lm",),
        "GPT2ForSequenceClassification": ("cls",),
    }
    prefix = "transformer."
    aliases = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    ignored = ("transformer.h.{n}.attn.bias", "transformer.h.{n}.attn.masked_bias")

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; the feed-forward block is four times as wide if nothing is said."""
        found = super().ours(theirs, weights)
        found.setdefault("feedforward_size", 4 * found["hidden_size"])
        return found

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            "transformer.wte": "embedding.parts.word",
            "transformer.wpe": "embedding.parts.pos",
            **under("transformer.h.{n}.", "encoder.layers.{n}.", _LAYER),
            "transformer.ln_f": "encoder.norm",
            "lm_head": "targets.lm.output",
            "score": "targets.cls.output",
        }
