"""Positions that a convolution feels."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError
from uer.glossary import EmbSize
from uer.states import States


class ConvolutionalPositionEmbedding(Embedding):
    """A wide convolution in groups over the row, added to what it reads (wav2vec 2.0).

    (arXiv:2006.11477.) The kernel is normalised: a learnt length for each of its places, times a
    direction. Vectors at padding count as zero, so padding changes nothing.
    """

    packable = False

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        conv_pos_kernel_size: Annotated[
            int, "frames that the convolution for positions reads at once"
        ] = 128,
        conv_pos_groups: Annotated[int, "groups of the convolution for positions"] = 16,
    ) -> None:
        super().__init__()
        if conv_pos_groups < 1 or emb_size % conv_pos_groups:
            raise ConfigError(
                [f"conv_pos_groups: {conv_pos_groups} does not divide emb_size {emb_size}."]
            )
        self.output_size, self.groups = emb_size, conv_pos_groups
        direction = torch.empty(emb_size, emb_size // conv_pos_groups, conv_pos_kernel_size)
        nn.init.normal_(direction, std=2 * (conv_pos_kernel_size * emb_size) ** -0.5)
        self.direction = nn.Parameter(direction)
        self.scale = nn.Parameter(direction.norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(emb_size))

    def forward(self, batch: Batch, states: States | None) -> States:
        """Add positions to hidden [B, L, E]; vectors at padding become zero before."""
        assert states is not None, "convpos adds to what stands before it"
        hidden = states.hidden
        if states.validity is not None:
            hidden = hidden * states.validity[..., None]
        return states.with_hidden(hidden + self.positions(hidden))

    def positions(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, L, E] → [B, L, E]; an even kernel reads one frame more before than behind."""
        kernel = self.direction * (self.scale / self.direction.norm(dim=(0, 1), keepdim=True))
        made = F.conv1d(
            hidden.transpose(1, 2),
            kernel,
            self.bias,
            padding=kernel.shape[-1] // 2,
            groups=self.groups,
        )
        return F.gelu(made[..., : hidden.shape[1]].transpose(1, 2))

    def no_decay(self) -> list[nn.Parameter]:
        """The lengths and the bias."""
        return [self.scale, self.bias]
