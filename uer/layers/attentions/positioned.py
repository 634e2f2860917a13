"""Attention with a position scheme of its own."""

from __future__ import annotations

import torch

from uer.glossary import AttentionHeadSize, HeadsNum, HiddenSize
from uer.layers.base import Attention, AttentionContext, Position
from uer.signature import Factory, Given, default
from uer.wanted import Wanted


class PositionedAttention(Attention):
    """Attention whose positions are this layer's alone, instead of the whole stack's.

    (Fine-tuned BEiT, arXiv:2106.08254, has a table of relative positions in every layer.)
    """

    def __init__(
        self,
        *,
        own_attention: Factory[Attention] = default("multihead"),
        own_position: Factory[Position],
        hidden_size: HiddenSize,
        heads_num: HeadsNum,
        attention_head_size: AttentionHeadSize = None,
        memory_size: Given[int | None] = None,
    ) -> None:
        super().__init__()
        self.attention = own_attention(memory_size=memory_size)
        self.selective = self.attention.selective
        size = attention_head_size or hidden_size // heads_num
        self.position = own_position.given(head_size=size)()

    def forward(
        self,
        hidden: torch.Tensor,
        context: AttentionContext,
        *,
        memory: torch.Tensor | None = None,
        wanted: Wanted | None = None,
    ) -> torch.Tensor:
        """[B, Lq, H], memory [B, Lk, H'] → [B, Lq, H], or [M, H] where only these are wanted."""
        placement = self.position(context.mask, hidden.device)
        own = AttentionContext(context.mask, placement, keys=context.keys)
        if wanted is None:
            return self.attention(hidden, own, memory=memory)
        return self.attention(hidden, own, memory=memory, wanted=wanted)
