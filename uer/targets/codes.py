"""Prediction of visual tokens."""

from __future__ import annotations

import torch

from uer.batch import Batch
from uer.components import Target
from uer.glossary import CodesNum, LabelSmoothing
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.score import Score
from uer.signature import Given
from uer.states import States


class VisualTokens(Target):
    """Predicts which code an image tokenizer gives to the patches that were hidden.

    (BEiT, arXiv:2106.08254.) One linear map, as there is no word table whose space it would have to
    reach.
    """

    reads_labelled = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        codes_num: CodesNum,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.output = Linear(input_size, codes_num)
        self.label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted patches."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M] against ``.value`` [M]."""
        logits = self.logits(states.at(batch[f"labels.{self.name}.index"]))
        value = batch[f"labels.{self.name}.value"]
        return cross_entropy(logits, value, label_smoothing=self.label_smoothing)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[M, H] → [M, codes]."""
        return self.output(hidden)
