"""The gated feed-forward block."""

from __future__ import annotations

import torch

from uer.glossary import FeedForwardSize, HiddenAct, HiddenSize, RemoveTransformerBias
from uer.layers.activations import ACTIVATIONS
from uer.layers.base import FeedForward
from uer.layers.linear import Linear


class GatedFeedForward(FeedForward):
    """act(gate(x)) · up(x), then down: the GLU family (arXiv:2002.05202).

    ``hidden_act: silu`` gives SwiGLU, ``gelu_fast`` the GEGLU of T5 v1.1.
    """

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
        self.gate = Linear(hidden_size, feedforward_size, bias=bias)
        self.up = Linear(hidden_size, feedforward_size, bias=bias)
        self.down = Linear(feedforward_size, hidden_size, bias=bias)
        self.activation = ACTIVATIONS[hidden_act]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, L, H] → [B, L, H]."""
        return self.down(self.activation(self.gate(hidden)) * self.up(hidden))
