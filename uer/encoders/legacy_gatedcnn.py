"""The predecessors' gated convolutions, for checkpoints that were trained with them."""

from __future__ import annotations

import torch
from torch import nn

from uer.encoders.gatedcnn import CausalConvolution, GatedCNNEncoder, GatedConvolution


class LegacyGatedCNNEncoder(GatedCNNEncoder):
    """Gated convolutions with a second bias each, as the predecessors have them.

    The sum of both is what counts, but trained further they move as two. `dialect: legacy` chooses
    this encoder; nothing new should.
    """

    def gated(self, input_size: int, hidden_size: int, kernel_size: int) -> nn.Module:
        """One layer."""
        return GatedConvolution(
            _TwiceBiased(input_size, hidden_size, kernel_size),
            _TwiceBiased(input_size, hidden_size, kernel_size),
        )


class _TwiceBiased(CausalConvolution):
    def __init__(self, input_size: int, hidden_size: int, kernel_size: int) -> None:
        super().__init__(input_size, hidden_size, kernel_size)
        self.bias_2 = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + self.bias_2[:, None]
