"""Language modelling in both directions."""

from __future__ import annotations

import torch

from uer.batch import Batch
from uer.components import Target
from uer.errors import ConfigError
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.score import Ratio, Score
from uer.signature import Given
from uer.states import States


class BidirectionalLanguageModel(Target):
    """Predicts the next token from what came before, and the one before from what follows.

    (ELMo, arXiv:1802.05365.) The first half of the states knows one direction, the second half the
    other, as `birnn`, `bilstm` and `bigru` make them; one output layer serves both.
    """

    labels = ("index", "value", "backward_index", "backward_value")

    def __init__(self, *, input_size: Given[int], vocab_size: Given[int]) -> None:
        super().__init__()
        if input_size % 2:
            raise ConfigError(
                [f"hidden_size: {input_size} is odd; target 'bilm' gives each direction half."]
            )
        self.output = Linear(input_size // 2, vocab_size, bias=False)

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted tokens, both directions together."""
        backward = batch[f"labels.{self.name}.backward_value"]
        return self.count(batch) + float(backward.shape[0])

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H].

        ``labels.<name>.index`` [M] and ``.value`` [M] are for its first half,
        ``.backward_index`` [M'] and ``.backward_value`` [M'] for its second.
        """
        scores = []
        for half, prefix in enumerate(("", "backward_")):
            hidden = states.at(batch[f"labels.{self.name}.{prefix}index"])
            value = batch[f"labels.{self.name}.{prefix}value"]
            scores.append(cross_entropy(self.output(hidden.chunk(2, -1)[half]), value))
        ahead, back = scores
        one, other = ahead.metrics["accuracy"], back.metrics["accuracy"]
        accuracy = Ratio(one.total + other.total, one.weight + other.weight)
        return Score(ahead.loss_sum + back.loss_sum, {"accuracy": accuracy})
