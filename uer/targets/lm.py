"""Language modelling."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Target
from uer.glossary import LabelSmoothing
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear, share_weight
from uer.score import Score
from uer.signature import Given
from uer.states import States


class LanguageModel(Target):
    """Predicts the next token; also the objective of decoders (arXiv:1706.03762)."""

    next_token = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        vocab_size: Given[int],
        has_lmtarget_bias: Annotated[bool, "the output layer has a bias"] = False,
        scale_tied_output: Annotated[
            bool, "states are scaled by the root of their width before a tied output layer (T5)"
        ] = False,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.output = Linear(input_size, vocab_size, bias=has_lmtarget_bias)
        self.label_smoothing = label_smoothing
        self.tied_scale = input_size**-0.5 if scale_tied_output else 1.0
        self.scale = 1.0

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted tokens."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M] against ``.value`` [M]."""
        hidden = states.at(batch[f"labels.{self.name}.index"])
        value = batch[f"labels.{self.name}.value"]
        return cross_entropy(self.logits(hidden), value, label_smoothing=self.label_smoothing)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[M, H] → [M, V]."""
        return self.output(hidden if self.scale == 1.0 else hidden * self.scale)

    def tie(self, table: nn.Parameter) -> bool:
        """Predict with the word table [V, E].

        Raises:
            ConfigError: the table has another width than the states.
        """
        share_weight(self.output, table)
        self.scale = self.tied_scale
        return True
