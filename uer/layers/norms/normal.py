"""Layer normalisation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.glossary import LayernormEps
from uer.layers.base import Norm
from uer.signature import Given


class LayerNorm(Norm):
    """Mean and variance normalisation with scale and shift (arXiv:1607.06450)."""

    def __init__(
        self,
        *,
        size: Given[int],
        layernorm_eps: LayernormEps = 1e-6,
        layernorm_bias: Annotated[bool, "layer normalisation has a shift"] = True,
    ) -> None:
        super().__init__()
        self.eps = layernorm_eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if layernorm_bias else None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […, H]."""
        return F.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.eps)
