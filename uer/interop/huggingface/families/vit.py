"""ViT."""

from __future__ import annotations

from collections.abc import Sequence

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.images import KEYS, LAYER, PARTS, ImageFamily, embeddings
from uer.interop.huggingface.names import Table, under


class Vit(ImageFamily):
    """ViT (arXiv:2010.11929)."""

    parts = PARTS
    keys = (*KEYS, Key("qkv_bias", "qkv_bias", True))
    heads = {"ViTModel": (), "ViTForImageClassification": ("cls",)}
    prefix = "vit."

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            **under(f"{self.prefix}embeddings.", "embedding.", embeddings()),
            **under(f"{self.prefix}encoder.layer.{{n}}.", "encoder.layers.{n}.", LAYER),
            f"{self.prefix}layernorm": "encoder.norm",
            "classifier": "targets.cls.output",
        }
