"""Root-mean-square normalisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.glossary import LayernormEps
from uer.layers.base import Norm
from uer.signature import Given


class RMSNorm(Norm):
    """Division by the root mean square, with a scale and no shift (arXiv:1910.07467)."""

    def __init__(self, *, size: Given[int], layernorm_eps: LayernormEps = 1e-6) -> None:
        super().__init__()
        self.eps = layernorm_eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […, H]; the statistic is taken in float32."""
        # The kernel takes one type for both, and adds up in float32 whatever it is.
        wide = torch.promote_types(hidden.dtype, self.weight.dtype)
        weight = self.weight.to(wide)
        return F.rms_norm(hidden.to(wide), weight.shape, weight, self.eps).to(hidden.dtype)
