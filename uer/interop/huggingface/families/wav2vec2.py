"""wav2vec 2.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uer.interop.huggingface.base import ACTIVATIONS, Config, Family, Key
from uer.interop.huggingface.names import Fused, Table, under
from uer.interop.huggingface.sounds import WAVE

_LAYER: Table = {
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.out_proj": "attention.output",
    "layer_norm": "attention_norm",
    "feed_forward.intermediate_dense": "feed_forward.up",
    "feed_forward.output_dense": "feed_forward.down",
    "final_layer_norm": "feed_forward_norm",
}
_POSITIONS: Table = {
    "bias": "bias",
    "parametrizations.weight.original0": "scale",
    "parametrizations.weight.original1": "direction",
    "weight_g": "scale",  # as it was written before torch had parametrizations
    "weight_v": "direction",
}
_WIDTHS = (512,) * 7
_STABLE = "do_stable_layer_norm"
PARTS = {
    "embedding": ["wave", "convpos"],
    "encoder": "transformer",
    "mask": "fully_visible",
    "layernorm": "normal",
}
KEYS = (
    Key("hidden_size", "hidden_size", 768),
    Key("hidden_size", "emb_size", 768),
    Key("num_hidden_layers", "layers_num", 12),
    Key("num_attention_heads", "heads_num", 12),
    Key("intermediate_size", "feedforward_size", 3072),
    Key("hidden_act", "hidden_act", "gelu", ACTIVATIONS),
    Key("hidden_dropout", "dropout", 0.1),
    Key("attention_dropout", "attention_dropout", 0.1),
    Key("feat_proj_dropout", "feature_dropout", 0.0),
    Key("layerdrop", "layer_drop", 0.1),
    Key("layer_norm_eps", "layernorm_eps", 1e-5),
    Key("conv_dim", "conv_channels", list(_WIDTHS)),
    Key("conv_kernel", "conv_kernel_sizes", [10, 3, 3, 3, 3, 2, 2]),
    Key("conv_stride", "conv_strides", [5, 2, 2, 2, 2, 2, 2]),
    Key("conv_bias", "conv_bias", False),
    Key("feat_extract_norm", "conv_norm", "group", {"group": "group", "layer": "layer"}),
    Key("num_conv_pos_embeddings", "conv_pos_kernel_size", 128),
    Key("num_conv_pos_embedding_groups", "conv_pos_groups", 16),
    Key(_STABLE, "remove_embedding_layernorm", False),
    Key(_STABLE, "layernorm_positioning", False, {False: "post", True: "pre"}),
    Key("pad_token_id", "blank_id", 0),
)


class Wav2Vec2(Family):
    """wav2vec 2.0 (arXiv:2006.11477), also fine-tuned with CTC.

    With "stable layer norm" the norm stands behind the layers, not before them.
    """

    parts = PARTS
    keys = (
        *KEYS,
        Key("num_codevector_groups", "codebook_groups", 2),
        Key("num_codevectors_per_group", "codebook_size", 320),
        Key("codevector_dim", "code_size", 256),
        Key("proj_codevector_dim", "contrast_size", 256),
        Key("contrastive_logits_temperature", "contrast_temperature", 0.1),
        Key("diversity_loss_weight", "diversity_weight", 0.1),
        Key("feat_quantizer_dropout", "quantizer_dropout", 0.0),
    )
    demanded = {"feat_extract_activation": "gelu", "add_adapter": False, "adapter_attn_dim": None}
    heads = {
        "Wav2Vec2Model": (),
        "Wav2Vec2ForPreTraining": ("wav2vec2",),
        "Wav2Vec2ForCTC": ("ctc",),
    }
    prefix = "wav2vec2."
    reads_text = False
    data = {"data_processor": "wav2vec2"}
    reads_sounds = WAVE

    def processor(self, targets: Sequence[str]) -> dict[str, Any]:
        """See `Family.processor`."""
        return {"data_processor": "ctc"} if "ctc" in targets else super().processor(targets)

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """See `Family.ours`; whether there is a vector for masked frames, the weights say."""
        names = (f"{self.prefix}masked_spec_embed", "masked_spec_embed")
        there = any(name in weights for name in names)
        return {**super().ours(theirs, weights), "mask_vector": there}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        found["num_feat_extract_layers"] = len(found["conv_dim"])
        if not values.get("mask_vector", True):
            found |= {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
        return found

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        body: Table = {
            "masked_spec_embed": "embedding.parts.wave.mask.weight",
            "feature_extractor.conv_layers.{n}.conv": "embedding.parts.wave.convolutions.{n}",
            "feature_extractor.conv_layers.{n}.layer_norm": "embedding.parts.wave.norms.{n}",
            "feature_projection.layer_norm": "embedding.parts.wave.feature_norm",
            "feature_projection.projection": "embedding.parts.wave.projection",
            **under("encoder.pos_conv_embed.conv.", "embedding.parts.convpos.", _POSITIONS),
            "encoder.layer_norm": "encoder.norm" if theirs.get(_STABLE) else "embedding.norm",
            **under("encoder.layers.{n}.", "encoder.layers.{n}.", _LAYER),
        }
        heads: Table = {
            "lm_head": "targets.ctc.output",
            "quantizer.codevectors": _codebooks(theirs),
            "quantizer.weight_proj": "targets.wav2vec2.quantizer.scores",
            "project_q": "targets.wav2vec2.codes_projection",
            "project_hid": "targets.wav2vec2.output",
        }
        return {**under(self.prefix, "", body), **heads}


def _codebooks(theirs: Config) -> Fused:
    """All entries of all codebooks, one after the other, as [1, G * V, D]."""
    groups = theirs.get("num_codevector_groups", 2)
    return Fused(
        ("targets.wav2vec2.quantizer.codebooks",),
        lambda tensor: [tensor[0].unflatten(0, (groups, -1))],
        lambda parts: parts[0].flatten(0, 1)[None],
    )
