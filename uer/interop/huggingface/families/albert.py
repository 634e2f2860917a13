"""ALBERT."""

from __future__ import annotations

from collections.abc import Sequence

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.families.bert import EMBEDDINGS, KEYS, PARTS, Bert, output_bias
from uer.interop.huggingface.names import Table, under

_LAYER: Table = {
    "attention.query": "attention.query",
    "attention.key": "attention.key",
    "attention.value": "attention.value",
    "attention.dense": "attention.output",
    "attention.LayerNorm": "attention_norm",
    "ffn": "feed_forward.up",
    "ffn_output": "feed_forward.down",
    "full_layer_layer_norm": "feed_forward_norm",
}
_ONLY_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0."


class Albert(Bert):
    """ALBERT (arXiv:1909.11942): narrow embeddings, and one layer that serves as all of them."""

    parts = {**PARTS, "parameter_sharing": True, "factorized_embedding_parameterization": True}
    keys = (*(key for key in KEYS if key.ours != "emb_size"), Key("embedding_size", "emb_size"))
    defaults = {
        "embedding_size": 128,
        "hidden_size": 4096,
        "num_attention_heads": 64,
        "intermediate_size": 16384,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    demanded = {**Bert.demanded, "num_hidden_groups": 1, "inner_group_num": 1}
    heads = {
        "AlbertModel": (),
        "AlbertForPreTraining": ("mlm", "sp"),
        "AlbertForMaskedLM": ("mlm",),
        "AlbertForSequenceClassification": ("cls",),
    }
    prefix = "albert."
    ignored = ("albert.embeddings.position_ids",)

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Bert.names`."""
        pooled = "cls" if "cls" in targets else "sp"
        return {
            **under("albert.embeddings.", "embedding.", EMBEDDINGS),
            "albert.encoder.embedding_hidden_mapping_in": "encoder.projection",
            **under(_ONLY_LAYER, "encoder.layers.0.", _LAYER),
            "albert.pooler": f"targets.{pooled}.hidden",
            "sop_classifier.classifier": "targets.sp.output",
            "classifier": "targets.cls.output",
            "predictions.dense": "targets.mlm.transform",
            "predictions.LayerNorm": "targets.mlm.norm",
            **output_bias(theirs, "predictions.bias", "predictions.decoder.bias"),
            "predictions.decoder": "targets.mlm.output",
        }
