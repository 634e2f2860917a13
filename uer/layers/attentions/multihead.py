"""Multi-head attention on the fused kernel."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.nn import functional as F

from uer.errors import ConfigError
from uer.glossary import (
    AttentionDropout,
    AttentionHeadSize,
    HeadsNum,
    HiddenSize,
    KvHeadsNum,
    QkvBias,
    RemoveAttentionScale,
    RemoveTransformerBias,
)
from uer.layers.base import Attention, AttentionContext, Norm
from uer.layers.linear import Linear
from uer.signature import Factory, Given
from uer.wanted import Wanted


class MultiHeadAttention(Attention):
    """Scaled dot-product attention in several heads (arXiv:1706.03762).

    With ``kv_heads_num`` there are fewer keys and values than queries (arXiv:2305.13245).
    ``query_key_norm`` normalises queries and keys head by head before positions enter.

    Dropout on the probabilities is a key of its own and off by default: it forces CPU kernels to
    write out all scores, about twenty times the time of the kernel.
    """

    selective = True

    def __init__(
        self,
        *,
        hidden_size: HiddenSize,
        heads_num: HeadsNum,
        kv_heads_num: KvHeadsNum = None,
        attention_head_size: AttentionHeadSize = None,
        attention_dropout: AttentionDropout = 0.0,
        remove_transformer_bias: RemoveTransformerBias = False,
        qkv_bias: QkvBias = None,
        key_bias: Annotated[
            bool | None, "the map of the keys has a bias, without effect; by default as qkv_bias"
        ] = None,
        remove_attention_scale: RemoveAttentionScale = False,
        query_key_norm: Factory[Norm] | None = None,
        memory_size: Given[int | None] = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads_num, kv_heads_num or heads_num
        size = _head_size(hidden_size, heads_num, self.kv_heads, attention_head_size)
        bias = not remove_transformer_bias
        inner_bias = bias if qkv_bias is None else qkv_bias
        memory_size = memory_size or hidden_size
        self.query = Linear(hidden_size, heads_num * size, bias=inner_bias)
        of_keys = inner_bias if key_bias is None else key_bias
        self.key = Linear(memory_size, self.kv_heads * size, bias=of_keys)
        self.value = Linear(memory_size, self.kv_heads * size, bias=inner_bias)
        self.output = Linear(heads_num * size, hidden_size, bias=bias)
        normed = query_key_norm is not None
        self.query_norm = query_key_norm(size=size) if normed else None
        self.key_norm = query_key_norm(size=size) if normed else None
        self.scale = 1.0 if remove_attention_scale else size**-0.5
        self.dropout = attention_dropout

    def forward(
        self,
        hidden: torch.Tensor,
        context: AttentionContext,
        *,
        memory: torch.Tensor | None = None,
        wanted: Wanted | None = None,
    ) -> torch.Tensor:
        """[B, Lq, H], memory [B, Lk, H'] → [B, Lq, H], or [M, H] where only these are wanted."""
        memory = hidden[:, : context.keys] if memory is None else memory
        asking = self.query(hidden if wanted is None else wanted.take(hidden))
        query = _heads(asking if wanted is None else wanted.place(asking, 0.0), self.heads)
        key, value = (_heads(map_(memory), self.kv_heads) for map_ in (self.key, self.value))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key = context.placement.rotate(query), context.placement.rotate(key)
        column = None if wanted is None else wanted.places
        if isinstance(column, int):
            query, context = query[:, :, column : column + 1], context.of_query(column)
        mixed = self.mix(query, key, value, context).transpose(1, 2).flatten(2)
        if wanted is not None:
            mixed = mixed.flatten(0, 1) if isinstance(column, int) else wanted.take(mixed)
        return self.output(mixed)

    def adaptable(self) -> list[Linear]:
        """What LoRA adapts unless it is told otherwise (arXiv:2106.09685)."""
        return [self.query, self.value]

    def mix(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        context: AttentionContext,
    ) -> torch.Tensor:
        """Values, weighted by the softmax of the scores.

        Args:
            query: [B, N, Lq, Dh].
            key: [B, N', Lk, Dh]; N' divides N.
            value: [B, N', Lk, Dh].
            context: mask and positions.

        Returns:
            [B, N, Lq, Dh].
        """
        allowed, is_causal = context.kernel(query)
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=allowed,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal,
            scale=self.scale,
            enable_gqa=self.kv_heads != self.heads,
        )


def _heads(vectors: torch.Tensor, number: int) -> torch.Tensor:
    """[B, L, N * Dh] → [B, N, L, Dh]."""
    return vectors.unflatten(-1, (number, -1)).transpose(1, 2)


def _head_size(hidden: int, heads: int, kv_heads: int, given: int | None) -> int:
    problems = []
    if given is None and hidden % heads:
        problems.append(
            f"heads_num: {heads} does not divide hidden_size {hidden}; "
            "choose a divisor or give attention_head_size."
        )
    if heads % kv_heads:
        problems.append(
            f"kv_heads_num: {kv_heads} does not divide heads_num {heads}; every group of query "
            "heads shares one."
        )
    if problems:
        raise ConfigError(problems)
    return given or hidden // heads
