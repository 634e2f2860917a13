"""MAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.images import KEYS, LAYER, PARTS, ImageFamily, embeddings
from uer.interop.huggingface.names import Table, boxed, under

_DECODER = (
    Key("decoder_hidden_size", "decoder_hidden_size", 512),
    Key("decoder_num_hidden_layers", "decoder_layers_num", 8),
    Key("decoder_num_attention_heads", "decoder_heads_num", 16),
    Key("decoder_intermediate_size", "decoder_feedforward_size", 2048),
    Key("norm_pix_loss", "normalize_pixels", False),
)


class VitMae(ImageFamily):
    """MAE (arXiv:2111.06377): a ViT that reads some patches, and a decoder that completes them."""

    parts = {**PARTS, "embedding": ["patch", "gridpos"], "pixel_loss": "l2"}
    keys = (*KEYS, *_DECODER, Key("qkv_bias", "qkv_bias", True))
    heads = {"ViTMAEModel": (), "ViTMAEForPreTraining": ("pixel",)}
    prefix = "vit."

    @property
    def model_type(self) -> str:
        """Its name in config.json, which has no hyphen."""
        return "vit_mae"

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`; the model without a head has no decoder."""
        found = super().ours(theirs, weights)
        return {**found, "decoder": "mae"} if "decoder.mask_token" in weights else found

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        patches = {**embeddings(), "position_embeddings": boxed("parts.gridpos.weight", 1)}
        layers = "decoder.decoder_encoder.layer.{n}."
        return {
            **under("vit.embeddings.", "embedding.", patches),
            **under("vit.encoder.layer.{n}.", "encoder.layers.{n}.", LAYER),
            "vit.layernorm": "encoder.norm",
            "decoder.decoder_embed": "decoder.projection",
            "decoder.mask_token": boxed("decoder.mask_vector", 2),
            "decoder.decoder_pos_embed": boxed("decoder.position.weight", 1),
            **under(layers, "decoder.layers.{n}.", LAYER),
            "decoder.decoder_norm": "decoder.norm",
            "decoder.decoder_pred": "targets.pixel.output",
        }
