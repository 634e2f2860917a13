"""mT5."""

from __future__ import annotations

from typing import Any

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.t5 import T5


class MT5(T5):
    """mT5 (arXiv:2010.11934): T5 v1.1 of a hundred languages; states are never scaled."""

    heads = {"MT5Model": (), "MT5ForConditionalGeneration": ("lm",)}
    defaults = {
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }

    def ours(self, theirs: Config, weights: Any) -> dict[str, Any]:
        """See `Family.ours`."""
        return super().ours({**self.defaults, **theirs, "scale_decoder_outputs": False}, weights)
