"""RoBERTa."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import Config, Key, first_position
from uer.interop.huggingface.families.bert import (
    EMBEDDINGS,
    KEYS,
    LAYER,
    PARTS,
    Bert,
    output_bias,
)
from uer.interop.huggingface.names import Table, under


class Roberta(Bert):
    """RoBERTa (arXiv:1907.11692): positions begin behind the id of padding."""

    parts = {**PARTS, "target_hidden_act": "gelu"}
    keys = tuple(key for key in KEYS if key.ours not in ("max_seq_length", "segments_num"))
    keys += (Key("type_vocab_size", "segments_num", 1),)
    heads = {
        "RobertaModel": (),
        "RobertaForMaskedLM": ("mlm",),
        "RobertaForSequenceClassification": ("cls",),
    }
    prefix = "roberta."
    ignored = ("roberta.embeddings.position_ids",)

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        offset = first_position(theirs, 1)
        length = theirs.get("max_position_embeddings", 514) - offset
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
        return {
            **under("roberta.embeddings.", "embedding.", EMBEDDINGS),
            **under("roberta.encoder.layer.{n}.", "encoder.layers.{n}.", LAYER),
            "classifier.dense": "targets.cls.hidden",
            "classifier.out_proj": "targets.cls.output",
            "lm_head.dense": "targets.mlm.transform",
            "lm_head.layer_norm": "targets.mlm.norm",
            **output_bias(theirs, "lm_head.bias", "lm_head.decoder.bias"),
            "lm_head.decoder": "targets.mlm.output",
        }
