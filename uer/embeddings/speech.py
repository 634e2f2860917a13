"""Acoustic frames, subsampled by convolutions."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError
from uer.frames import frames_after, shortest
from uer.glossary import (
    AudioFeatureSize,
    ConvChannels,
    ConvKernelSizes,
    ConvStrides,
    EmbSize,
    ScaleEmbedding,
)
from uer.layers.base import Norm
from uer.layers.subsampling import Convolution, at_least, checked_convolutions, validity_of
from uer.signature import Factory
from uer.states import States


class SpeechEmbedding(Embedding):
    """Convolutions with a stride over the frames of a row (arXiv:1911.08460, Speech2Text).

    Each reads half a kernel of zeros before and behind the row and is followed by a gate, which
    halves its channels: ``conv_channels`` counts them before it. By default each halves the frames.
    As in the models that are known by this name, padding is not taken out between convolutions: the
    last one or two frames of a row know whether padding follows.
    """

    first = True
    packable = False

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        audio_feature_size: AudioFeatureSize = 80,
        conv_channels: ConvChannels,
        conv_kernel_sizes: ConvKernelSizes,
        conv_strides: ConvStrides = None,
        conv_act: Annotated[
            Literal["glu", "gelu"], "what follows a convolution; glu halves the channels"
        ] = "glu",
        conv_layernorm: Factory[Norm] | None = None,
        scale_embedding: ScaleEmbedding = False,
    ) -> None:
        super().__init__()
        strides = [2] * len(conv_kernel_sizes) if conv_strides is None else conv_strides
        checked_convolutions(conv_channels, conv_kernel_sizes, strides)
        halved = 2 if conv_act == "glu" else 1
        widths = [channels // halved for channels in conv_channels]
        if widths[-1] != emb_size or any(channels % halved for channels in conv_channels):
            raise ConfigError(
                [
                    f"conv_channels: {conv_channels} end in vectors of width {widths[-1]} after "
                    f"{conv_act}, and emb_size is {emb_size}; the last must be {halved * emb_size}."
                ]
            )
        self.output_size = emb_size
        self.kernel_sizes, self.strides = list(conv_kernel_sizes), list(strides)
        self.gated, self.scale = conv_act == "glu", emb_size**0.5 if scale_embedding else 1.0
        self.convolutions = nn.ModuleList(
            Convolution(inputs, channels, kernel, stride, padding=kernel // 2)
            for inputs, channels, kernel, stride in zip(
                [audio_feature_size, *widths],
                conv_channels,
                conv_kernel_sizes,
                strides,
                strict=False,
            )
        )
        self.norms = nn.ModuleList(
            nn.Identity() if conv_layernorm is None else conv_layernorm(size=channels)
            for channels in conv_channels
        )

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``frames`` [B, F, M].

        Returns:
            States with hidden [B, L, E], L frames after the convolutions; a row that is too short
            counts one.
        """
        assert states is None, "speech reads the batch, so it stands first"
        length = batch.get("length")
        frames = at_least(batch["frames"], shortest(self.kernel_sizes, self.strides, True))
        hidden = self.convolved(frames)
        if self.scale != 1.0:
            hidden = hidden * self.scale
        if length is None:
            return States(hidden=hidden)
        length = frames_after(length, self.kernel_sizes, self.strides, True).clamp(min=1)
        return States(hidden=hidden, validity=validity_of(length, hidden.shape[1]), length=length)

    def convolved(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, F, M] → [B, L, E]."""
        hidden = frames
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = norm(convolution(hidden.transpose(1, 2)).transpose(1, 2))
            hidden = F.glu(hidden, -1) if self.gated else F.gelu(hidden)
        return hidden
