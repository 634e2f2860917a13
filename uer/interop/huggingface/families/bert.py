"""BERT."""

from __future__ import annotations

from collections.abc import Sequence

from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Table, under

LAYER: Table = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
    "output.LayerNorm": "feed_forward_norm",
}
EMBEDDINGS: Table = {
    "word_embeddings": "parts.word",
    "position_embeddings": "parts.pos",
    "token_type_embeddings": "parts.seg",
    "LayerNorm": "norm",
}
PARTS = {
    "embedding": ["word", "pos", "seg"],
    "encoder": "transformer",
    "mask": "fully_visible",
    "layernorm": "normal",
    "layernorm_positioning": "post",
}
KEYS = (
    Key("hidden_size", "hidden_size", 768),
    Key("hidden_size", "emb_size", 768),
    Key("num_hidden_layers", "layers_num", 12),
    Key("num_attention_heads", "heads_num", 12),
    Key("intermediate_size", "feedforward_size", 3072),
    Key("hidden_act", "hidden_act", "gelu", ACTIVATIONS),
    Key("hidden_dropout_prob", "dropout", 0.1),
    Key("attention_probs_dropout_prob", "attention_dropout", 0.1),
    Key("max_position_embeddings", "max_seq_length", 512),
    Key("type_vocab_size", "segments_num", 2),
    Key("layer_norm_eps", "layernorm_eps", 1e-12),
    Key("tie_word_embeddings", "tie_weights", True),
)


def output_bias(theirs: Config, name: str, untied: str) -> Table:
    """The bias over the vocabulary; untied, the one beside the output layer adds nothing."""
    tied = theirs.get("tie_word_embeddings", True)
    return {name if tied else untied: "targets.mlm.output.bias"}


class Bert(Family):
    """BERT (arXiv:1810.04805)."""

    parts = PARTS
    keys = KEYS
    demanded = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    heads = {
        "BertModel": (),
        "BertForPreTraining": ("mlm", "sp"),
        "BertForMaskedLM": ("mlm",),
        "BertForNextSentencePrediction": ("sp",),
        "BertForSequenceClassification": ("cls",),
    }
    prefix = "bert."
    ignored = ("bert.embeddings.position_ids",)

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`; the pooler is the hidden layer of the head that reads it."""
        pooled = "cls" if "cls" in targets else "sp"
        return {
            **output_bias(theirs, "cls.predictions.bias", "cls.predictions.decoder.bias"),
            **under("bert.embeddings.", "embedding.", EMBEDDINGS),
            **under("bert.encoder.layer.{n}.", "encoder.layers.{n}.", LAYER),
            "bert.pooler.dense": f"targets.{pooled}.hidden",
            "cls.seq_relationship": "targets.sp.output",
            "classifier": "targets.cls.output",
            "cls.predictions.transform.dense": "targets.mlm.transform",
            "cls.predictions.transform.LayerNorm": "targets.mlm.norm",
            "cls.predictions.decoder": "targets.mlm.output",
        }
