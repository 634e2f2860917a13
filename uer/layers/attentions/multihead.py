"""Multi-head attention on the fused kernel."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from uer.errors import ConfigError
from uer.glossary import (
    AttentionDropout,
    AttentionHeadSize,
    HeadsNum,
    HiddenSize,
    RemoveTransformerBias,
)
from uer.layers.base import Attention, Placement
from uer.layers.linear import Linear
from uer.layers.positions.rotary import rotate
from uer.masks import AttentionMask


class MultiHeadAttention(Attention):
    """Scaled dot-product attention in several heads (arXiv:1706.03762).

    Dropout on the probabilities is a key of its own and off by default: it forces CPU kernels to
    write out all scores, about twenty times the time of the kernel.
    """

    def __init__(
        self,
        *,
        hidden_size: HiddenSize,
        heads_num: HeadsNum,
        attention_head_size: AttentionHeadSize = None,
        attention_dropout: AttentionDropout = 0.0,
        remove_transformer_bias: RemoveTransformerBias = False,
    ) -> None:
        super().__init__()
        if attention_head_size is None and hidden_size % heads_num:
            raise ConfigError(
                [
                    f"heads_num: {heads_num} does not divide hidden_size {hidden_size}; "
                    "choose a divisor or give attention_head_size."
                ]
            )
        self.heads = heads_num
        width = heads_num * (attention_head_size or hidden_size // heads_num)
        bias = not remove_transformer_bias
        self.query = Linear(hidden_size, width, bias=bias)
        self.key = Linear(hidden_size, width, bias=bias)
        self.value = Linear(hidden_size, width, bias=bias)
        self.output = Linear(width, hidden_size, bias=bias)
        self.dropout = attention_dropout

    def forward(
        self,
        hidden: torch.Tensor,
        mask: AttentionMask,
        *,
        memory: torch.Tensor | None = None,
        placement: Placement | None = None,
    ) -> torch.Tensor:
        """[B, Lq, H], memory [B, Lk, H] → [B, Lq, H]."""
        memory = hidden if memory is None else memory
        query, key, value = (  # each [B, N, L, Dh]
            project(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, states in (
                (self.query, hidden),
                (self.key, memory),
                (self.value, memory),
            )
        )
        if placement is not None:
            query, key = rotate(query, placement), rotate(key, placement)
        allowed, is_causal = mask.kernel(hidden.device)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=allowed,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal,
        )
        return self.output(mixed.transpose(1, 2).flatten(2))
