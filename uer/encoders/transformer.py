"""The transformer encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import nn

from uer.components import Encoder
from uer.errors import ConfigError
from uer.glossary import (
    AttentionHeadSize,
    Factorized,
    HeadsNum,
    HiddenSize,
    LayernormPositioning,
    LayersNum,
    Mask,
    MaskKind,
    ParameterSharing,
)
from uer.layers.base import AttentionContext, Layer, Norm, Position
from uer.layers.dropout import Dropout
from uer.layers.layer_drop import LayerDrop
from uer.layers.linear import Linear
from uer.masks import AttentionMask
from uer.signature import Factory, Given, default
from uer.states import States
from uer.wanted import Wanted


class TransformerEncoder(Encoder):
    """A stack of layers under one described attention mask (arXiv:1706.03762).

    ``mask: causal`` makes it a language model's decoder-only stack. Where embeddings are narrower
    than the hidden states, a linear map joins them (ALBERT, arXiv:1909.11942); the same paper's
    ``parameter_sharing`` applies one layer again and again.

    With ``attention_window`` attention is local (arXiv:2004.05150), but for every
    ``global_attention_every``-th layer from the first, where that is given (arXiv:2412.13663).
    """

    packable = True
    keeps_layers = False

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
        local_position: Factory[Position] | None = None,
        attention_window: Annotated[
            int | None, "positions to either side that a token sees; by default all"
        ] = None,
        global_attention_every: Annotated[
            int | None, "in every so many layers the attention_window does not count"
        ] = None,
        parameter_sharing: ParameterSharing = False,
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
        first_layernorm: Annotated[
            bool, "the first layer normalises its input; False: the embedding's norm serves it"
        ] = True,
        last_layernorm: Annotated[
            bool, "with norms before the blocks, one stands behind the last layer"
        ] = True,
        output_dropout: Annotated[float, "dropout rate of the stack's result"] = 0.0,
        layer_drop: Annotated[float, "share of the training steps that go without a layer"] = 0.0,
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
        self.layers = nn.ModuleList(
            layer.given(depth=number / max(made - 1, 1))() for number in range(made)
        )
        self.rounds = layers_num if parameter_sharing else 1
        self.window = attention_window
        self.global_every = _checked(attention_window, global_attention_every, parameter_sharing)
        size = {"head_size": attention_head_size or hidden_size // heads_num}
        self.position = None if position is None else position.given(**size)()
        self.local_position = None if local_position is None else local_position.given(**size)()
        pre = layernorm_positioning == "pre"
        if pre and not first_layernorm:
            self.layers[0].attention_norm = nn.Identity()
        self.norm = layernorm(size=hidden_size) if pre and last_layernorm else None
        self.dropout = Dropout(output_dropout)
        self.layer_drop = LayerDrop(layer_drop)

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]."""
        made: list[torch.Tensor] | None = [] if self.keeps_layers else None
        wanted = states.wanted if made is None and self.layers[-1].selective else None
        hidden = self.stack(self.projected(states), *self._contexts(states), made, wanted)
        encoded = states.with_hidden(hidden)
        if made is None:
            return encoded
        return replace(encoded, extras={**states.extras, "layers": torch.stack(made)})

    def keep_layers(self) -> None:
        """See `Encoder.keep_layers`."""
        self.keeps_layers = True

    def projected(self, states: States) -> torch.Tensor:
        """[B, L, input_size] → [B, L, H] what the first layer reads."""
        return states.hidden if self.projection is None else self.projection(states.hidden)

    def stack(
        self,
        hidden: torch.Tensor,
        far: AttentionContext,
        near: AttentionContext,
        made: list[torch.Tensor] | None = None,
        wanted: Wanted | None = None,
    ) -> torch.Tensor:
        """All layers, [B, L, H] → [B, L, H].

        Args:
            hidden: what the first layer reads.
            far: context of layers that see everything.
            near: context of the others.
            made: what every layer makes is put there.
            wanted: all of the result that is read; the rest becomes NaN.
        """
        last = self.rounds * len(self.layers) - 1
        for number in range(last + 1):
            layer = self.layers[number % len(self.layers)]
            everywhere = self.global_every is not None and number % self.global_every == 0
            context = far if everywhere else near
            chosen = wanted if number == last else None
            more = () if chosen is None else (chosen,)  # other layers need not know of it
            hidden = self.layer_drop(hidden, layer(hidden, context, *more), chosen)
            if made is not None:
                made.append(hidden)
        if self.norm is not None:
            hidden = self.norm(hidden)
        hidden = self.dropout(hidden)
        # NaN: a reader that did not say what it wants shall notice.
        return hidden if wanted is None else wanted.place(hidden, math.nan)

    @classmethod
    def looks_ahead(cls, keys: Mapping[str, Any]) -> bool:
        """Under the full mask."""
        return keys.get("mask", "fully_visible") == "fully_visible"

    def stages(self) -> list[nn.Module]:
        """The layers."""
        return list(self.layers)

    def _contexts(self, states: States) -> tuple[AttentionContext, AttentionContext]:
        """Of layers that see everything, and of the others; one and the same without a window."""
        mask, device = states.self_mask(self.mask), states.hidden.device
        far = _context(mask, self.position, device)
        if self.window is None:
            return far, far
        return far, _context(mask.narrow(self.window), self.local_position or self.position, device)


def _context(
    mask: AttentionMask, position: nn.Module | None, device: torch.device
) -> AttentionContext:
    return AttentionContext(mask, None if position is None else position(mask, device))


def _checked(window: int | None, every: int | None, shared: bool) -> int | None:
    problems = []
    if window is not None and window < 0:
        problems.append(f"attention_window: {window} must not be negative.")
    if every is not None and window is None:
        problems.append("global_attention_every: goes with an attention_window.")
    if every is not None and every < 1:
        problems.append(f"global_attention_every: {every} must be at least 1.")
    if every is not None and shared:
        problems.append("global_attention_every: layers that share parameters are all alike.")
    if problems:
        raise ConfigError(problems)
    return every
