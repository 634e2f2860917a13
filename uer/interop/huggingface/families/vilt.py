"""ViLT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.families.bert import EMBEDDINGS
from uer.interop.huggingface.images import KEYS, LAYER, PARTS, ImageFamily, embeddings
from uer.interop.huggingface.names import Table, under


class Vilt(ImageFamily):
    """ViLT (arXiv:2102.03334): a ViT over a text and an image, each with its own positions."""

    parts = {
        **{key: value for key, value in PARTS.items() if key != "remove_embedding_layernorm"},
        "embedding": "word_patch",
        "modality_embedding": True,
        "tie_weights": True,
    }
    keys = (*KEYS, Key("qkv_bias", "qkv_bias", True), Key("type_vocab_size", "segments_num", 2))
    defaults = {"image_size": 384, "patch_size": 32}
    demanded = {"modality_type_vocab_size": 2, "max_image_length": -1}
    heads = {"ViltModel": (), "ViltForMaskedLM": ("mlm",)}
    prefix = "vilt."
    reads_text = True

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        return {
            **found,
            "text_embedding": {
                "embedding": ["word", "pos", "seg"],
                "max_seq_length": theirs.get("max_position_embeddings", 40),
            },
            "image_embedding": {
                "embedding": ["patch", "pos"],
                "max_seq_length": found.pop("max_seq_length"),
                "remove_embedding_layernorm": True,
                "position_interpolation": "bilinear_corners",
            },
        }

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`; the first positions are those of the text."""
        found = super().theirs(values)
        return {**found, "max_position_embeddings": values["max_seq_length"]}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        text = "vilt.embeddings.text_embeddings."
        return {
            **under(text, "embedding.text.", EMBEDDINGS),
            "vilt.embeddings.token_type_embeddings.weight": "embedding.modality",
            **under("vilt.embeddings.", "embedding.image.", embeddings()),
            **under("vilt.encoder.layer.{n}.", "encoder.layers.{n}.", LAYER),
            "vilt.layernorm": "encoder.norm",
            "mlm_score.transform.dense": "targets.mlm.transform",
            "mlm_score.transform.LayerNorm": "targets.mlm.norm",
            "mlm_score.decoder": "targets.mlm.output",
        }
