"""The encoder of masked and permuted language modelling."""

from __future__ import annotations

import torch

from uer.encoders.transformer import TransformerEncoder
from uer.errors import ConfigError
from uer.glossary import (
    AttentionHeadSize,
    Factorized,
    HeadsNum,
    HiddenSize,
    LayernormPositioning,
    LayersNum,
)
from uer.layers.base import AttentionContext, Layer, Norm, Placement, Position
from uer.masks import OrderMask, Side
from uer.signature import Factory, Given, default
from uer.states import States


class MPNetEncoder(TransformerEncoder):
    """A transformer that predicts tokens in a random order (MPNet, arXiv:2004.09297).

    Without an order in the states it is the transformer encoder that sees everything. With one,
    every predicted token stands in the row twice: itself, and a masked copy with its position. The
    copy of the token whose turn is k is a query: it sees what is known from the start, the tokens
    before turn k, and masked copies from turn k on, so that the positions of all tokens are known.
    The other vectors, the content, see tokens up to their own turn (0 for what is known, and for
    copies) and the copies of later turns.

    Queries look at contents only, and all share the layers. What comes out at a copy is its query.
    """

    packable = True
    reads_order = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        heads_num: HeadsNum,
        attention_head_size: AttentionHeadSize = None,
        layer: Factory[Layer] = default("transformer"),
        position: Factory[Position] | None = default("relative"),
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
        factorized_embedding_parameterization: Factorized = None,
    ) -> None:
        super().__init__(
            input_size=input_size,
            hidden_size=hidden_size,
            layers_num=layers_num,
            heads_num=heads_num,
            attention_head_size=attention_head_size,
            layer=layer,
            position=position,
            layernorm=layernorm,
            layernorm_positioning=layernorm_positioning,
            factorized_embedding_parameterization=factorized_embedding_parameterization,
        )

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]."""
        if states.order is None or states.query is None:
            return super().forward(states)
        content, real = self.projected(states), states.query >= 0
        column = states.query.clamp(min=0)
        wide = column[..., None].expand(-1, -1, content.shape[-1])
        context = self._two_streams(states, states.order, column)
        both = self.stack(torch.cat([content, content.gather(1, wide)], 1), context, context)
        content, queries = both.split([content.shape[1], column.shape[1]], 1)
        # Places behind the last copy of a row write to a column that is cut off again.
        aside = torch.cat([content, content.new_zeros(len(content), 1, content.shape[-1])], 1)
        wide = torch.where(real, column, content.shape[1])[..., None].expand_as(queries)
        return states.with_hidden(aside.scatter(1, wide, queries)[:, :-1])

    def _two_streams(
        self, states: States, order: torch.Tensor, column: torch.Tensor
    ) -> AttentionContext:
        """Contents [B, L], then queries [B, Q] at the given columns, looking at the contents."""
        side = states.side()
        assert side.position is not None, "masked copies have positions of their own"
        rows, length = order.shape
        asking = Side(
            (rows, length + column.shape[1]),
            position=torch.cat([side.position, side.position.gather(1, column)], 1),
            document=None
            if side.document is None
            else torch.cat([side.document, side.document.gather(1, column)], 1),
        )
        reach = torch.cat([order, -order.gather(1, column) - 1], 1).clamp(min=0)
        mask = OrderMask("fully_visible", asking, side, order=order, reach=reach)
        placement = None if self.position is None else self.position(mask, order.device)
        if placement is not None and type(placement).rotate is not Placement.rotate:
            raise ConfigError(["position: mpnet needs one that is a bias, such as relative."])
        return AttentionContext(mask, placement, keys=length)
