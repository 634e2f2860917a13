"""Which masked patch is which, and what it was."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.layers.features import require_features
from uer.layers.linear import Linear
from uer.score import Ratio, Score
from uer.signature import Given
from uer.states import States


class MaskedPatches(Target):
    """Tells masked patches of a spectrogram apart and reconstructs them (SSAST, arXiv:2110.09784).

    Every masked patch has a description, and picks by it what it was among all masked patches of
    its sound: the cross-entropy of products with their content. Another description is compared
    with the content directly; its mean square joins with ``reconstruction_weight``.
    """

    labels = ("index",)
    lowest = ("contrast", "reconstruction")

    def __init__(
        self,
        *,
        input_size: Given[int],
        features_size: Given[int | None] = None,
        reconstruction_weight: Annotated[
            float, "weight of the mean square of reconstructed patches"
        ] = 10.0,
    ) -> None:
        super().__init__()
        size = require_features("ssast", features_size)
        self.description, self.reconstruction = (_head(input_size, size) for _ in range(2))
        self._weight = reconstruction_weight

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of masked patches."""
        index = batch[f"labels.{self.name}.index"]
        return torch.full((), float(len(index)), device=index.device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, tokens + P, H] at ``labels.<name>.index`` [M]."""
        index, patches = batch[f"labels.{self.name}.index"], states.extras["features"].float()
        width = patches.shape[1]
        masked = patches.new_zeros(patches.shape[:2], dtype=torch.bool)
        masked.view(-1)[index] = True
        described = self.description(states.labelled()).float()
        products = described @ patches.transpose(1, 2)  # [B, P, P]
        products = products.masked_fill(~masked[:, None], -torch.inf).flatten(0, 1)[index]
        own = index % width
        contrast = F.cross_entropy(products, own, reduction="sum")
        made = self.reconstruction(states.at(index)).float()
        square = (made - patches.flatten(0, 1)[index]).square().mean(-1).sum()
        count = self.weight(batch)
        right = (products.detach().argmax(-1) == own).sum().float()
        metrics = {
            "accuracy": Ratio(right, count),
            "contrast": Ratio(contrast.detach(), count),
            "reconstruction": Ratio(square.detach(), count),
        }
        return Score(contrast + self._weight * square, metrics)


def _head(input_size: int, size: int) -> nn.Sequential:
    """Two linear maps with a rectifier between them."""
    return nn.Sequential(Linear(input_size, input_size), nn.ReLU(), Linear(input_size, size))
