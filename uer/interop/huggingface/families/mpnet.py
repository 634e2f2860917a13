"""MPNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.bert import EMBEDDINGS, LAYER, PARTS
from uer.interop.huggingface.families.roberta import Roberta
from uer.interop.huggingface.names import Table, under

_LAYER: Table = {
    **{theirs: ours for theirs, ours in LAYER.items() if not theirs.startswith("attention.")},
    "attention.attn.q": "attention.query",
    "attention.attn.k": "attention.key",
    "attention.attn.v": "attention.value",
    "attention.attn.o": "attention.output",
    "attention.LayerNorm": "attention_norm",
}
_PADDING = 1  # positions begin behind it, whatever id padding has


class MPNet(Roberta):
    """MPNet (arXiv:2004.09297): RoBERTa without segments, with relative positions besides."""

    parts = {
        **PARTS,
        "embedding": ["word", "pos"],
        "encoder": "mpnet",
        "position": "relative",
        "relative_attention_buckets_num": 32,
        "relative_attention_max_distance": 128,
        "target_hidden_act": "gelu",
    }
    keys = tuple(key for key in Roberta.keys if key.ours != "segments_num")
    demanded = {"relative_attention_num_buckets": 32}  # transformers computes with no other number
    heads = {
        "MPNetModel": (),
        "MPNetForMaskedLM": ("mlm",),
        "MPNetForSequenceClassification": ("cls",),
    }
    prefix = "mpnet."
    ignored = ("mpnet.embeddings.position_ids",)

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        return super().ours(
            {"max_position_embeddings": 512, **theirs, "pad_token_id": _PADDING}, weights
        )

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`; the id of padding says nothing about positions."""
        found = super().theirs(values)
        del found["pad_token_id"]
        return found

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        embeddings = {k: v for k, v in EMBEDDINGS.items() if v != "parts.seg"}
        heads = super().names(theirs, targets).items()
        return {
            **under("mpnet.embeddings.", "embedding.", embeddings),
            **under("mpnet.encoder.layer.{n}.", "encoder.layers.{n}.", _LAYER),
            "mpnet.encoder.relative_attention_bias": "encoder.position",
            **{k: v for k, v in heads if not k.startswith("roberta.")},
        }
