"""The transformer layer."""

from __future__ import annotations

import torch

from uer.glossary import Dropout as DropoutRate
from uer.glossary import DropPath as DropPathRate
from uer.glossary import HiddenSize, LayernormPositioning
from uer.layers.base import Attention, AttentionContext, FeedForward, Layer, Norm
from uer.layers.drop_path import DropPath
from uer.layers.dropout import Dropout
from uer.signature import Factory, Given, default
from uer.wanted import Wanted


class TransformerLayer(Layer):
    """Self-attention and feed-forward block, each with a residual connection.

    ::

        post (arXiv:1706.03762)          pre (arXiv:2002.04745)
        x = norm(x + attention(x))       x = x + attention(norm(x))
        x = norm(x + feed_forward(x))    x = x + feed_forward(norm(x))

    With ``drop_path`` deeper layers are left out more often; ``depth`` says where in the stack this
    one stands, from 0 to 1.
    """

    def __init__(
        self,
        *,
        hidden_size: HiddenSize,
        attention: Factory[Attention] = default("multihead"),
        feed_forward: Factory[FeedForward] = default("dense"),
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
        dropout: DropoutRate = 0.1,
        drop_path: DropPathRate = 0.0,
        depth: Given[float] = 0.0,
    ) -> None:
        super().__init__()
        self.pre = layernorm_positioning == "pre"
        self.attention = attention()
        self.selective = self.attention.selective
        self.attention_norm = layernorm(size=hidden_size)
        self.feed_forward = feed_forward()
        self.feed_forward_norm = layernorm(size=hidden_size)
        self.dropout = Dropout(dropout)
        self.drop_path = DropPath(drop_path * depth)

    def forward(
        self, hidden: torch.Tensor, context: AttentionContext, wanted: Wanted | None = None
    ) -> torch.Tensor:
        """[B, L, H] → [B, L, H], or [M, H] where only these are wanted."""
        before = hidden if wanted is None else wanted.take(hidden)
        if self.pre:
            hidden = before + self.attended(self.attention_norm(hidden), context, wanted)
            return hidden + self.fed(self.feed_forward_norm(hidden), wanted)
        hidden = self.attention_norm(before + self.attended(hidden, context, wanted))
        return self.feed_forward_norm(hidden + self.fed(hidden, wanted))

    def attended(
        self, hidden: torch.Tensor, context: AttentionContext, wanted: Wanted | None
    ) -> torch.Tensor:
        """[B, L, H] → [B, L, H] or [M, H], what attention adds."""
        if wanted is None:
            made = self.attention(hidden, context)
        else:
            made = self.attention(hidden, context, wanted=wanted)
        return self.drop_path(self.dropout(made), wanted)

    def fed(self, hidden: torch.Tensor, wanted: Wanted | None) -> torch.Tensor:
        """[B, L, H] or [M, H] → what the feed-forward block adds."""
        return self.drop_path(self.dropout(self.feed_forward(hidden)), wanted)
