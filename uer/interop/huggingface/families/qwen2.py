"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from typing import Any

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.llama import PARTS, Llama, window_of


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
        first, layers = theirs.get("max_window_layers", 28), range(found["layers_num"])
        sliding = theirs.get("use_sliding_window") and theirs.get("sliding_window", 4096)
        kinds = [
            "sliding_attention" if sliding and n >= first else "full_attention" for n in layers
        ]
        window = window_of(theirs, kinds)
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
