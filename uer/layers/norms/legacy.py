"""The predecessors' own layer norm, for checkpoints that were trained with it."""

from __future__ import annotations

import torch
from torch import nn

from uer.glossary import LayernormEps
from uer.layers.base import Norm
from uer.signature import Given


class LegacyNorm(Norm):
    """Divides by (unbiased standard deviation + eps), as UER-py and TencentPretrain do.

    At width 768 it differs from layer normalisation by up to 2e-3 per element. `dialect: legacy`
    chooses it; nothing new should.
    """

    def __init__(self, *, size: Given[int], layernorm_eps: LayernormEps = 1e-6) -> None:
        super().__init__()
        self.eps = layernorm_eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […, H]; computed in float32."""
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        deviation, mean = torch.std_mean(wide, dim=-1, keepdim=True)
        normed = self.weight * (wide - mean) / (deviation + self.eps) + self.bias
        return normed.to(hidden.dtype)
