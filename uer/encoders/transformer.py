"""The transformer encoder."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from uer.components import Encoder
from uer.glossary import (
    AttentionHeadSize,
    Factorized,
    HeadsNum,
    HiddenSize,
    LayernormPositioning,
    LayersNum,
    Mask,
    MaskKind,
)
from uer.layers.base import Layer, Norm, Position
from uer.layers.linear import Linear
from uer.signature import Factory, Given, default
from uer.states import States


class TransformerEncoder(Encoder):
    """A stack of layers under one described attention mask (arXiv:1706.03762).

    ``mask: causal`` makes it a language model's decoder-only stack. Where embeddings are narrower
    than the hidden states, a linear map joins them (ALBERT, arXiv:1909.11942); the same paper's
    ``parameter_sharing`` applies one layer again and again.
    """

    packable = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        heads_num: HeadsNum,
        attention_head_size: AttentionHeadSize = None,
        mask: Mask = "fully_visible",
        layer: Factory[Layer] = default("transformer"),
        position: Factory[Position] | None = None,
        parameter_sharing: Annotated[bool, "one layer's parameters serve all layers"] = False,
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
        factorized_embedding_parameterization: Factorized = None,
    ) -> None:
        super().__init__()
        self.output_size = hidden_size
        factorized = factorized_embedding_parameterization
        if factorized is None:
            factorized = input_size != hidden_size
        self.projection = Linear(input_size, hidden_size) if factorized else None
        self.mask: MaskKind = mask
        made = 1 if parameter_sharing else layers_num
        self.layers = nn.ModuleList(layer() for _ in range(made))
        self.rounds = layers_num if parameter_sharing else 1
        head_size = attention_head_size or hidden_size // heads_num
        self.position = None if position is None else position(head_size=head_size)
        pre = layernorm_positioning == "pre"
        self.norm = layernorm(size=hidden_size) if pre else None

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]."""
        hidden = states.hidden
        if self.projection is not None:
            hidden = self.projection(hidden)
        mask = states.self_mask(self.mask)
        placement = None if self.position is None else self.position(mask, hidden.device)
        for _ in range(self.rounds):
            for layer in self.layers:
                hidden = layer(hidden, mask, placement)
        if self.norm is not None:
            hidden = self.norm(hidden)
        return states.with_hidden(hidden)
