"""Sound as it is sampled."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import DataError
from uer.frames import STRIDES, frames_after, shortest
from uer.glossary import ConvChannels, ConvKernelSizes, ConvStrides, EmbSize
from uer.layers.base import Norm
from uer.layers.dropout import Dropout
from uer.layers.linear import Linear
from uer.layers.masked import MaskVector
from uer.layers.subsampling import (
    ChannelNorm,
    Convolution,
    FrameNorm,
    at_least,
    checked_convolutions,
    validity_of,
)
from uer.signature import Factory, default
from uer.states import States


class WaveEmbedding(Embedding):
    """Convolutions over samples make features, a linear map makes vectors of them (wav2vec 2.0).

    (arXiv:2006.11477.) Frames where ``masked`` is true are exchanged for one learnt vector. The
    features of all stay in ``extras["features"]`` [B, L, C], normalised, for targets to predict;
    their mean square before the norm, over real frames, is ``extras["feature_penalty"]`` [].

    ``conv_norm: group`` normalises every channel over the row behind the first convolution, padding
    included (the base model); ``layer`` every frame behind every convolution (the large one), so
    that padding changes nothing.
    """

    first = True
    packable = False

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        conv_channels: ConvChannels = (512,) * 7,  # type: ignore[assignment]
        conv_kernel_sizes: ConvKernelSizes = (10, 3, 3, 3, 3, 2, 2),  # type: ignore[assignment]
        conv_strides: ConvStrides = None,
        conv_norm: Annotated[
            Literal["group", "layer"],
            "a norm over the row behind the first convolution, or over each frame behind all",
        ] = "group",
        conv_bias: Annotated[bool, "the convolutions have a bias"] = False,
        feature_layernorm: Annotated[bool, "a norm before the linear map"] = True,
        feature_dropout: Annotated[float, "dropout rate behind the linear map"] = 0.0,
        feature_gradient_scale: Annotated[
            float, "the convolutions learn from so many times their gradient"
        ] = 1.0,
        mask_vector: Annotated[bool, "there is a learnt vector for masked frames"] = True,
        layernorm: Factory[Norm] = default("normal"),
    ) -> None:
        super().__init__()
        strides = STRIDES if conv_strides is None else conv_strides
        checked_convolutions(conv_channels, conv_kernel_sizes, strides)
        self.output_size, self.features_size = emb_size, conv_channels[-1]
        self.kernel_sizes, self.strides = list(conv_kernel_sizes), list(strides)
        self.convolutions = nn.ModuleList(
            Convolution(inputs, channels, kernel, stride, bias=conv_bias)
            for inputs, channels, kernel, stride in zip(
                [1, *conv_channels], conv_channels, conv_kernel_sizes, strides, strict=False
            )
        )
        self.norms = nn.ModuleList(
            map(FrameNorm, conv_channels)
            if conv_norm == "layer"
            else [ChannelNorm(conv_channels[0])]
        )
        self.feature_norm = layernorm(size=conv_channels[-1]) if feature_layernorm else None
        self.projection = Linear(conv_channels[-1], emb_size)
        self.dropout = Dropout(feature_dropout)
        self._gradient_scale = feature_gradient_scale
        self.mask = MaskVector(emb_size) if mask_vector else None

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``wave`` [B, S].

        Returns:
            States with hidden [B, L, E], L frames behind the convolutions, and the extras; a row
            that is too short counts one frame.

        Raises:
            DataError: ``masked`` counts other frames.
        """
        assert states is None, "wave reads the batch, so it stands first"
        length = batch.get("length")
        wave = at_least(batch["wave"], shortest(self.kernel_sizes, self.strides, False))
        features = self.convolved(wave)
        if self._gradient_scale != 1.0 and features.requires_grad:
            features.register_hook(lambda gradient: gradient * self._gradient_scale)
        validity = None
        if length is not None:
            length = frames_after(length, self.kernel_sizes, self.strides, False).clamp(min=1)
            validity = validity_of(length, features.shape[1])
        penalty = _mean_square(features, validity)
        normed = features if self.feature_norm is None else self.feature_norm(features)
        hidden = self.dropout(self.projection(normed))
        if self.mask is not None:
            hidden = self.mask(hidden, batch.get("masked"))
        elif "masked" in batch:
            raise DataError(
                "the data processor masks frames, and the embedding 'wave' has no vector for them; "
                "give it mask_vector: true."
            )
        extras = {"features": normed, "feature_penalty": penalty}
        return States(hidden=hidden, validity=validity, length=length, extras=extras)

    def convolved(self, wave: torch.Tensor) -> torch.Tensor:
        """[B, S] → [B, L, C]."""
        hidden = wave[:, None]
        for number, convolution in enumerate(self.convolutions):
            hidden = convolution(hidden)
            if number < len(self.norms):
                hidden = self.norms[number](hidden)
            hidden = F.gelu(hidden)
        return hidden.transpose(1, 2)


def _mean_square(features: torch.Tensor, validity: torch.Tensor | None) -> torch.Tensor:
    """[] of [B, L, C], over real frames; in float32."""
    square = features.float().square().mean(-1)
    if validity is None:
        return square.mean()
    return (square * validity).sum() / validity.sum().clamp(min=1)
