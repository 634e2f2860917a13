"""Reconstruction of acoustic frames."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.glossary import AudioFeatureSize, HiddenAct
from uer.layers.activations import ACTIVATIONS
from uer.layers.base import Norm
from uer.layers.linear import Linear
from uer.score import Score
from uer.signature import Factory, Given, default
from uer.states import States


class FrameReconstruction(Target):
    """Says what altered frames were, by the absolute difference (TERA, arXiv:2007.06028)."""

    reads_labelled = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        audio_feature_size: AudioFeatureSize = 80,
        hidden_act: HiddenAct = "gelu",
        layernorm: Factory[Norm] = default("normal"),
    ) -> None:
        super().__init__()
        self.transform = Linear(input_size, input_size)
        self.activation = ACTIVATIONS[hidden_act]
        self.norm = layernorm(size=input_size)
        self.output = Linear(input_size, audio_feature_size)

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of altered frames."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, F, H] at ``labels.<name>.index`` [M] against ``.value`` [M, filters].

        The loss of a frame is the mean over its filter banks.
        """
        frames = self.frames(states.at(batch[f"labels.{self.name}.index"])).float()
        difference = F.l1_loss(frames, batch[f"labels.{self.name}.value"], reduction="none")
        return Score(difference.mean(-1).sum(), {})

    def frames(self, hidden: torch.Tensor) -> torch.Tensor:
        """[M, H] → [M, filters]."""
        return self.output(self.norm(self.activation(self.transform(hidden))))
