"""Speech2Text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uer.interop.huggingface.base import Config, Key
from uer.interop.huggingface.families.bart import CROSS, KEYS, LAYER, Bart
from uer.interop.huggingface.names import Table, under
from uer.interop.huggingface.sounds import FRAMES

# What is said otherwise, or not at all.
_OTHER = ("max_seq_length",)


class SpeechToText(Bart):
    """Speech2Text (arXiv:2010.05171): BART's layers with norms before the blocks, over sound.

    Positions begin behind the id of padding, which is 1 in all of these models.
    """

    parts = {
        "embedding": ["speech", "legacy_sinusoidalpos"],
        "tgt_embedding": ["word", "legacy_sinusoidalpos"],
        "sinusoids": "halves",
        "remove_embedding_layernorm": True,
        "encoder": "transformer",
        "mask": "fully_visible",
        "decoder": "transformer",
        "layernorm": "normal",
        "layernorm_positioning": "pre",
        "layernorm_eps": 1e-5,
    }
    keys = (
        *(key for key in KEYS if key.ours not in _OTHER),
        Key("max_target_positions", "max_seq_length", 1024),
        Key("encoder_layerdrop", "layer_drop", 0.0),
        Key("input_feat_per_channel", "audio_feature_size", 80),
        Key("conv_kernel_sizes", "conv_kernel_sizes", [5, 5]),
    )
    defaults = {
        "d_model": 256,
        "decoder_layers": 6,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 2048,
        "decoder_ffn_dim": 2048,
        "activation_function": "relu",
        "scale_embedding": True,
    }
    demanded = {"input_channels": 1, "pad_token_id": 1}
    heads = {"Speech2TextModel": (), "Speech2TextForConditionalGeneration": ("lm",)}
    data = {"data_processor": "s2t"}
    reads_sounds = FRAMES
    decoder_start = 2
    ignored = ("model.encoder.embed_positions.weights", "model.decoder.embed_positions.weights")

    @property
    def model_type(self) -> str:
        """See `Family.model_type`."""
        return "speech_to_text"

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; the last convolution makes the width of the model after its gate."""
        found = super().ours(theirs, weights)
        inner = [theirs.get("conv_channels", 1024)] * (len(found["conv_kernel_sizes"]) - 1)
        return {**found, "conv_channels": [*inner, 2 * found["emb_size"]]}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        channels = values["conv_channels"]
        return {**found, "conv_channels": channels[0], "num_conv_layers": len(channels)}

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`."""
        return {
            "model.encoder.conv.conv_layers.{n}": "embedding.parts.speech.convolutions.{n}",
            "model.decoder.embed_tokens": "tgt_embedding.parts.word",
            **under("model.encoder.layers.{n}.", "encoder.layers.{n}.", LAYER),
            **under("model.decoder.layers.{n}.", "decoder.layers.{n}.", {**LAYER, **CROSS}),
            "model.encoder.layer_norm": "encoder.norm",
            "model.decoder.layer_norm": "decoder.norm",
            "lm_head": "targets.lm.output",
        }
