"""The transformer decoder."""

from __future__ import annotations

import torch
from torch import nn

from uer.components import Decoder
from uer.errors import ConfigError
from uer.glossary import AttentionHeadSize, HeadsNum, HiddenSize, LayernormPositioning, LayersNum
from uer.glossary import Dropout as DropoutRate
from uer.layers.base import Attention, AttentionContext, FeedForward, Norm, Position
from uer.layers.dropout import Dropout
from uer.signature import Factory, Given, default
from uer.states import States


class TransformerDecoder(Decoder):
    """Layers of causal self-attention, attention to the memory, and feed-forward block.

    (arXiv:1706.03762.) A position scheme acts in self-attention only, as in T5.
    """

    packable = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        memory_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        heads_num: HeadsNum,
        attention_head_size: AttentionHeadSize = None,
        attention: Factory[Attention] = default("multihead"),
        feed_forward: Factory[FeedForward] = default("dense"),
        position: Factory[Position] | None = None,
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__()
        if input_size != hidden_size:
            raise ConfigError(
                [
                    f"the decoder's hidden_size {hidden_size} is not the width {input_size} of its "
                    "embedding; make emb_size and hidden_size equal."
                ]
            )
        self.output_size = hidden_size
        pre = layernorm_positioning == "pre"
        parts = {
            "attention": attention,
            "feed_forward": feed_forward,
            "norm": lambda: layernorm(size=hidden_size),
        }
        self.layers = nn.ModuleList(
            DecoderLayer(**parts, memory_size=memory_size, pre=pre, dropout=dropout)
            for _ in range(layers_num)
        )
        size = attention_head_size or hidden_size // heads_num
        self.position = None if position is None else position.given(head_size=size)()
        self.norm = layernorm(size=hidden_size) if pre else None

    def forward(self, states: States, memory: States) -> States:
        """Decode hidden [B, T, input_size] over memory [B, L, memory_size] into [B, T, H]."""
        hidden, mask = states.hidden, states.self_mask("causal")
        placement = None if self.position is None else self.position(mask, hidden.device)
        own, cross = AttentionContext(mask, placement), AttentionContext(states.cross_mask(memory))
        for layer in self.layers:
            hidden = layer(hidden, own, memory.hidden, cross)
        return states.with_hidden(hidden if self.norm is None else self.norm(hidden))

    def stages(self) -> list[nn.Module]:
        """The layers."""
        return list(self.layers)


class DecoderLayer(nn.Module):
    """One layer of a decoder.

    Args:
        attention: makes self-attention and attention to the memory.
        feed_forward: makes the feed-forward block.
        norm: makes a norm of the hidden width.
        memory_size: width of the memory.
        pre: norms stand before the blocks, not behind the residual sums.
        dropout: rate at the blocks' results.
    """

    def __init__(
        self,
        *,
        attention: Factory[Attention],
        feed_forward: Factory[FeedForward],
        norm: Factory[Norm],
        memory_size: int,
        pre: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pre = pre
        self.attention = attention(memory_size=None)
        self.attention_norm = norm()
        self.cross_attention = attention(memory_size=memory_size)
        self.cross_attention_norm = norm()
        self.feed_forward = feed_forward()
        self.feed_forward_norm = norm()
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: torch.Tensor,
        own: AttentionContext,
        memory: torch.Tensor,
        cross: AttentionContext,
    ) -> torch.Tensor:
        """[B, T, H], memory [B, L, memory_size] → [B, T, H]."""
        if self.pre:
            inner = self.attention(self.attention_norm(hidden), own)
            hidden = hidden + self.dropout(inner)
            inner = self.cross_attention(self.cross_attention_norm(hidden), cross, memory=memory)
            hidden = hidden + self.dropout(inner)
            return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        hidden = self.attention_norm(hidden + self.dropout(self.attention(hidden, own)))
        inner = self.cross_attention(hidden, cross, memory=memory)
        hidden = self.cross_attention_norm(hidden + self.dropout(inner))
        return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
