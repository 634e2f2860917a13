"""Reconstruction of pixels."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.glossary import ChannelsNum, PatchSize
from uer.layers.linear import Linear
from uer.layers.patches import cut
from uer.score import Score
from uer.signature import Given
from uer.states import States

_LEAST = 1e-6  # of a patch's variance


class PixelReconstruction(Target):
    """Predicts the pixels of patches that were hidden (MAE, arXiv:2111.06377).

    What counts is the mean over a patch's pixels of their squared (``l2``) or absolute (``l1``,
    SimMIM, arXiv:2111.09886) errors. Normalised, a patch has mean 0 and variance 1.
    """

    labels = ("index",)

    def __init__(
        self,
        *,
        input_size: Given[int],
        patch_size: PatchSize,
        channels_num: ChannelsNum = 3,
        normalize_pixels: Annotated[bool, "each patch is normalised before it is predicted"] = True,
        pixel_loss: Annotated[Literal["l2", "l1"], "squared or absolute errors count"] = "l2",
    ) -> None:
        super().__init__()
        self.output = Linear(input_size, patch_size * patch_size * channels_num)
        self.size, self.normalized = patch_size, normalize_pixels
        self.error = {"l2": F.mse_loss, "l1": F.l1_loss}[pixel_loss]

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted patches."""
        index = batch[f"labels.{self.name}.index"]
        return torch.full((), float(index.shape[0]), device=index.device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M] against ``src.image``."""
        index = batch[f"labels.{self.name}.index"]
        predicted = self.output(states.at(index)).float()
        wanted = self.pixels(batch["src.image"]).flatten(0, 1).index_select(0, index)
        return Score(self.error(predicted, wanted, reduction="sum") / wanted.shape[1], {})

    def pixels(self, image: torch.Tensor) -> torch.Tensor:
        """[B, C, Y, X] → float32 [B, P, size * size * C] what is to be predicted."""
        patches = cut(image, self.size).permute(0, 1, 3, 4, 2).flatten(2).float()
        if not self.normalized:
            return patches
        variance, mean = torch.var_mean(patches, -1, keepdim=True)
        return (patches - mean) / (variance + _LEAST).sqrt()
