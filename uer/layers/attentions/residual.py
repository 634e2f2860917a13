"""Attention whose scores add up over the layers."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from uer.layers.attentions.multihead import MultiHeadAttention
from uer.layers.base import AttentionContext


class ResidualAttention(MultiHeadAttention):
    """The scores of the layer before are added to this layer's (RealFormer, arXiv:2012.11747).

    All scores are written out, so it takes more time and memory than the fused kernel.
    """

    selective = False  # scores are those of the whole sequence

    def mix(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        context: AttentionContext,
    ) -> torch.Tensor:
        """See `MultiHeadAttention.mix`."""
        shared = self.heads // self.kv_heads
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
        scores = self.scale * query @ key.transpose(-2, -1)
        if context.scores is not None:
            scores = scores + context.scores
        context.scores = scores
        shares = (scores + context.added(query)).float().softmax(-1).to(query.dtype)
        return F.dropout(shares, self.dropout, self.training) @ value
