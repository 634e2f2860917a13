"""PEGASUS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.bart import PARTS, Bart
from uer.interop.huggingface.names import Table


class Pegasus(Bart):
    """PEGASUS (arXiv:1912.08777): BART with norms before the blocks and fixed positions."""

    parts = {
        **PARTS,
        "embedding": ["word", "sinusoidalpos"],
        "tgt_embedding": ["word", "sinusoidalpos"],
        "sinusoids": "halves",
        "remove_embedding_layernorm": True,
        "layernorm_positioning": "pre",
    }
    demanded = {
        "normalize_before": True,
        "normalize_embedding": False,
        "static_position_embeddings": True,
    }
    heads = {"PegasusModel": (), "PegasusForConditionalGeneration": ("lm",)}
    ignored = ("model.encoder.embed_positions", "model.decoder.embed_positions")

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`; what is computed has no name here."""
        names = super().names(theirs, targets)
        return {name: ours for name, ours in names.items() if name not in self.ignored}

    def further(
        self, theirs: Config, tensors: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """See `Family.further`: the positions, all sines before the cosines."""
        rows, width = theirs.get("max_position_embeddings", 1024), theirs["d_model"]
        exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
        angle = torch.arange(rows, dtype=torch.float64)[:, None] / 10000.0**exponent
        table = torch.cat([angle.sin(), angle[:, : width // 2].cos()], dim=1).float()
        return dict.fromkeys([f"{name}.weight" for name in self.ignored], table)
