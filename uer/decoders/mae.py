"""The light decoder of masked autoencoders."""

from __future__ import annotations

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Decoder, Embedding
from uer.errors import DataError
from uer.glossary import HiddenSize, LayernormPositioning, LayersNum
from uer.grid import Grid
from uer.layers.base import AttentionContext, Layer, Norm
from uer.layers.linear import INITIAL_STD, Linear
from uer.signature import Factory, Given, default
from uer.states import States


class MaskedAutoencoderDecoder(Decoder):
    """Completes an image of which the encoder has read some patches (MAE, arXiv:2111.06377).

    What was read returns to its place, a mask vector stands for everything else, and layers of
    self-attention see it all. It is narrower and shallower than the encoder: its own keys are
    ``decoder_hidden_size``, ``decoder_layers_num`` and so on.
    """

    reads_target = False

    def __init__(
        self,
        *,
        memory_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        layer: Factory[Layer] = default("transformer"),
        position_embedding: Factory[Embedding] = default("gridpos"),
        layernorm: Factory[Norm] = default("normal"),
        layernorm_positioning: LayernormPositioning = "post",
    ) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.projection = Linear(memory_size, hidden_size)
        self.mask_vector = nn.Parameter(nn.init.normal_(torch.empty(hidden_size), std=INITIAL_STD))
        self.position = position_embedding(emb_size=hidden_size)
        self.layers = nn.ModuleList(
            layer.given(memory_size=None, depth=number / max(layers_num - 1, 1))()
            for number in range(layers_num)
        )
        pre = layernorm_positioning == "pre"
        self.norm = layernorm(size=hidden_size) if pre else None

    def forward(self, states: States | None, memory: States) -> States:
        """Complete memory [B, tokens + U, memory_size] to [B, tokens + P, H].

        Raises:
            DataError: the memory is no image.
        """
        assert states is None, "there is no target side"
        if memory.grid is None:
            raise DataError("decoder 'mae' completes images; choose embedding: patch.")
        whole = self._whole(memory, memory.grid)
        context = AttentionContext(whole.self_mask("fully_visible"))
        hidden = self.position(Batch({}), whole).hidden
        for layer in self.layers:
            hidden = layer(hidden, context)
        return whole.with_hidden(hidden if self.norm is None else self.norm(hidden))

    def stages(self) -> list[nn.Module]:
        """The layers."""
        return list(self.layers)

    def no_decay(self) -> list[nn.Parameter]:
        """The mask vector."""
        return [self.mask_vector]

    def _whole(self, memory: States, grid: Grid) -> States:
        """The image, with the mask vector for what was not read."""
        hidden = self.projection(memory.hidden)
        tokens = grid.before + grid.actual[0] * grid.actual[1]
        if memory.position is not None:
            place = memory.position[:, :, None].expand(-1, -1, self.output_size)
            masked = self.mask_vector.to(hidden.dtype).expand(len(hidden), tokens, -1)
            hidden = masked.scatter(1, place, hidden)
        behind = slice(grid.before, tokens)
        return States(hidden, indexed=behind, grid=grid, parts={"image": behind})
