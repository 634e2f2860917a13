"""Prediction of the codes of masked frames."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.errors import ConfigError
from uer.glossary import FeaturePenaltyWeight
from uer.layers.cross_entropy import cross_entropy
from uer.layers.features import feature_penalty
from uer.layers.linear import Linear
from uer.score import Score
from uer.signature import Given
from uer.states import States


class FrameCodes(Target):
    """Predicts the code of each masked frame, which was made before (HuBERT, arXiv:2106.07447).

    A score is the cosine between the projected state and a code's vector, over a temperature. The
    mean square of the front end's features joins the loss of every frame; where it does, micro-
    batches are not exactly one big batch.
    """

    reads_labelled = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        codes_num: Annotated[int, "codes that frames were clustered into"],
        code_size: Annotated[int, "width in which states and codes are compared"] = 256,
        code_temperature: Annotated[float, "cosines to the codes are divided by it"] = 0.1,
        feature_penalty_weight: FeaturePenaltyWeight = 10.0,
    ) -> None:
        super().__init__()
        if not code_temperature > 0:
            raise ConfigError([f"code_temperature: {code_temperature} must be above 0."])
        self.projection = Linear(input_size, code_size)
        self.codes = nn.Parameter(torch.rand(codes_num, code_size))
        self.temperature = code_temperature
        self._penalty = feature_penalty_weight
        self.additive = not feature_penalty_weight  # type: ignore[misc]

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted frames."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M] against ``.value`` [M]."""
        hidden = states.at(batch[f"labels.{self.name}.index"])
        score = cross_entropy(self.logits(hidden), batch[f"labels.{self.name}.value"])
        if not self._penalty:
            return score
        penalty = self._penalty * feature_penalty(states) * self.weight(batch)
        return Score(score.loss_sum + penalty, score.metrics)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[M, H] → float32 [M, C]."""
        states, codes = (
            F.normalize(each.float(), dim=-1) for each in (self.projection(hidden), self.codes)
        )
        return states @ codes.T / self.temperature

    def no_decay(self) -> list[nn.Parameter]:
        """The codes' vectors: only their directions count."""
        return [self.codes]
