"""The transformer layer with layer scale."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.glossary import Dropout as DropoutRate
from uer.glossary import DropPath as DropPathRate
from uer.glossary import HiddenSize, LayernormPositioning
from uer.layers.base import Attention, AttentionContext, FeedForward, Norm
from uer.layers.blocks.transformer import TransformerLayer
from uer.signature import Factory, Given, default
from uer.wanted import Wanted


class ScaledLayer(TransformerLayer):
    """A transformer layer whose blocks pass through learnt factors, one for each dimension.

    (CaiT, arXiv:2103.17239.) They start small, so that a deep stack starts as nearly the identity.
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
        layer_scale: Annotated[float, "what the factors of a layer's blocks start from"] = 0.1,
        depth: Given[float] = 0.0,
    ) -> None:
        super().__init__(
            hidden_size=hidden_size,
            attention=attention,
            feed_forward=feed_forward,
            layernorm=layernorm,
            layernorm_positioning=layernorm_positioning,
            dropout=dropout,
            drop_path=drop_path,
            depth=depth,
        )
        self.attention_scale = nn.Parameter(torch.full((hidden_size,), layer_scale))
        self.feed_forward_scale = nn.Parameter(torch.full((hidden_size,), layer_scale))

    def attended(
        self, hidden: torch.Tensor, context: AttentionContext, wanted: Wanted | None
    ) -> torch.Tensor:
        """See `TransformerLayer.attended`."""
        return self.attention_scale * super().attended(hidden, context, wanted)

    def fed(self, hidden: torch.Tensor, wanted: Wanted | None) -> torch.Tensor:
        """See `TransformerLayer.fed`."""
        return self.feed_forward_scale * super().fed(hidden, wanted)

    def no_decay(self) -> list[nn.Parameter]:
        """The factors."""
        return [self.attention_scale, self.feed_forward_scale]
