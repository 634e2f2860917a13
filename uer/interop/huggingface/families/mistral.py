"""Mistral."""

from __future__ import annotations

from typing import Any

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.llama import Llama, window_of


class Mistral(Llama):
    """Mistral (arXiv:2310.06825): LLaMA whose tokens see a window."""

    heads = {
        "MistralModel": (),
        "MistralForCausalLM": ("lm",),
        "MistralForSequenceClassification": ("cls",),
    }
    defaults = {
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    }

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`; their window counts the token itself."""
        found = super().ours(theirs, weights)
        window = window_of(theirs, ["sliding_attention"])
        return found if window is None else found | {"attention_window": window - 1}

    def theirs(self, values: Config) -> dict[str, Any]:
        """See `Family.theirs`."""
        window = values.get("attention_window")
        sliding = None if window is None else window + 1
        return super().theirs(values) | {"sliding_window": sliding}

    def biases(self, theirs: Config) -> dict[str, Any]:
        """See `Llama.biases`: there are none."""
        return {}

    def write_biases(self, values: Config) -> dict[str, Any]:
        """See `Llama.write_biases`."""
        return {}
