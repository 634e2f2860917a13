"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.llama import PARTS, Llama


class Qwen2(Llama):
    """Qwen2 (arXiv:2407.10671): LLaMA with biases in queries, keys and values."""

    parts = {**PARTS, "qkv_bias": True}
    heads = {
        "Qwen2Model": (),
        "Qwen2ForCausalLM": ("lm",),
        "Qwen2ForSequenceClassification": ("cls",),
    }
    defaults = {
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
    }

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        found = super().ours(theirs, weights)
        window = _window(theirs, found["layers_num"])
        return found if window is None else found | {"attention_window": window - 1}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        found = super().theirs(values)
        if "attention_window" not in values:
            return found | {"use_sliding_window": False}
        sliding = {"sliding_window": values["attention_window"] + 1, "max_window_layers": 0}
        return found | {"use_sliding_window": True, **sliding}

    def biases(self, theirs: Config) -> dict[str, Any]:
        """See `Llama.biases`: those of queries, keys and values only."""
        return {}

    def write_biases(self, values: Config) -> dict[str, Any]:
        """See `Llama.write_biases`."""
        return {}


def _window(theirs: Config, layers: int) -> int | None:
    """Tokens of the window of all layers, the token itself included; None: they see everything."""
    first = theirs.get("max_window_layers", 28)
    sliding = bool(theirs.get("use_sliding_window")) and theirs.get("sliding_window", 4096)
    kinds = ["sliding_attention" if sliding and n >= first else "" for n in range(layers)]
    kinds = set(theirs.get("layer_types") or kinds)
    if "sliding_attention" not in kinds:
        return None
    if len(kinds) > 1:
        raise ConfigError(
            [
                "layer_types, max_window_layers: a window in some of the layers only is an option "
                "that is not supported here."
            ]
        )
    return theirs.get("sliding_window", 4096)
