"""The plain feed-forward block."""

from __future__ import annotations

import torch

from uer.glossary import FeedForwardSize, HiddenAct, HiddenSize, RemoveTransformerBias
from uer.layers.activations import ACTIVATIONS
from uer.layers.base import FeedForward
from uer.layers.linear import Linear


class DenseFeedForward(FeedForward):
    """Two linear maps with an activation between them (arXiv:1706.03762)."""

    def __init__(
        self,
        *,
        hidden_size: HiddenSize,
        feedforward_size: FeedForwardSize,
        hidden_act: HiddenAct = "gelu",
        remove_transformer_bias: RemoveTransformerBias = False,
    ) -> None:
        super().__init__()
        bias = not remove_transformer_bias
        self.up = Linear(hidden_size, feedforward_size, bias=bias)
        self.down = Linear(feedforward_size, hidden_size, bias=bias)
        self.activation = ACTIVATIONS[hidden_act]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, L, H] → [B, L, H]."""
        return self.down(self.activation(self.up(hidden)))
