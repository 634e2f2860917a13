"""Pooling by attention."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import ConfigError, DataError
from uer.glossary import HiddenSize
from uer.layers.base import Attention, AttentionContext, FeedForward, Norm, Pooler
from uer.layers.linear import INITIAL_STD
from uer.signature import Factory, Given, default
from uer.states import States


class AttentionPooling(Pooler):
    """A learnt probe looks at all states of a row ('MAP' head, arXiv:2106.04560, 1810.00825).

    What it sees is the document's vector, behind a feed-forward block with a residual sum.
    """

    def __init__(
        self,
        *,
        size: Given[int],
        hidden_size: HiddenSize,
        attention: Factory[Attention] = default("multihead"),
        feed_forward: Factory[FeedForward] = default("dense"),
        layernorm: Factory[Norm] = default("normal"),
    ) -> None:
        super().__init__()
        if hidden_size != size:
            raise ConfigError(
                [
                    f"pooling 'map' is {hidden_size} wide and what it pools {size}; write "
                    f"target_hidden_size: {size} (and target_heads_num, target_feedforward_size)."
                ]
            )
        self.probe = nn.Parameter(nn.init.normal_(torch.empty(size), std=INITIAL_STD))
        self.attention = attention()
        self.norm = layernorm(size=size)
        self.feed_forward = feed_forward()

    def forward(self, states: States) -> torch.Tensor:
        """[B, L, H] → [D, H].

        Raises:
            DataError: documents share a row.
        """
        if states.document is not None:
            raise DataError(
                "pooling 'map' looks at whole rows, and several documents share one; "
                "choose --packing off."
            )
        probe = self.probe.to(states.hidden.dtype).expand(states.hidden.shape[0], 1, -1)
        context = AttentionContext(States(probe).cross_mask(states))
        seen = self.attention(probe, context, memory=states.hidden)
        pooled = (seen + self.feed_forward(self.norm(seen))).squeeze(1)
        return pooled[states.firsts() // states.hidden.shape[1]]

    def no_decay(self) -> list[nn.Parameter]:
        """The probe."""
        return [self.probe]
