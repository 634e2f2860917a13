"""ELECTRA: generators and discriminators, each a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.families.bert import EMBEDDINGS, KEYS, LAYER, PARTS, Bert
from uer.interop.huggingface.names import Table, under

_DISCRIMINATOR = "discriminator_predictions.dense.weight"


class Electra(Bert):
    """ELECTRA (arXiv:2003.10555): BERT without a pooler, its embeddings as wide as one likes."""

    parts = {**PARTS, "target_hidden_act": "gelu"}
    keys = (*(key for key in KEYS if key.ours != "emb_size"), Key("embedding_size", "emb_size"))
    defaults = {
        "embedding_size": 128,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
    }
    heads = {
        "ElectraModel": (),
        "ElectraForMaskedLM": ("mlm",),
        "ElectraForPreTraining": ("rtd",),
    }
    prefix = "electra."
    ignored = ("electra.embeddings.position_ids",)

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; only the generator's head has an activation of its own."""
        found = super().ours(theirs, weights)
        named = theirs.get("architectures")
        if "ElectraForPreTraining" in named if named else _DISCRIMINATOR in weights:
            del found["target_hidden_act"]
        return found

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            **under("electra.embeddings.", "embedding.", EMBEDDINGS),
            "electra.embeddings_project": "encoder.projection",
            **under("electra.encoder.layer.{n}.", "encoder.layers.{n}.", LAYER),
            "generator_predictions.dense": "targets.mlm.transform",
            "generator_predictions.LayerNorm": "targets.mlm.norm",
            "generator_lm_head": "targets.mlm.output",
            "discriminator_predictions.dense": "targets.rtd.hidden",
            "discriminator_predictions.dense_prediction": "targets.rtd.output",
        }
