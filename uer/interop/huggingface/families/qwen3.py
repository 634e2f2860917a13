"""Qwen3."""

from __future__ import annotations

from uer.interop.huggingface.families.llama import PARTS
from uer.interop.huggingface.families.qwen2 import Qwen2


class Qwen3(Qwen2):
    """Qwen3 (arXiv:2505.09388): queries and keys are normalised head by head, without biases."""

    parts = {**PARTS, "query_key_norm": "rms"}
    demanded = {"attention_bias": False}
    heads = {
        "Qwen3Model": (),
        "Qwen3ForCausalLM": ("lm",),
        "Qwen3ForSequenceClassification": ("cls",),
    }
    defaults = {**Qwen2.defaults, "head_dim": 128}
