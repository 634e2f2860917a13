"""Masked language modelling."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Target
from uer.glossary import HiddenAct, LabelSmoothing
from uer.layers.activations import ACTIVATIONS
from uer.layers.base import Norm
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear, share_weight
from uer.score import Score
from uer.signature import Factory, Given, default
from uer.states import States


class MaskedLanguageModel(Target):
    """Predicts the tokens that were hidden (BERT, arXiv:1810.04805).

    Only the predicted positions pass through the head; the vocabulary projection of all the others
    would be most of a small model's work.
    """

    reads_labelled = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        embedding_size: Given[int],
        vocab_size: Given[int],
        hidden_act: HiddenAct = "gelu",
        mlm_transform_bias: Annotated[bool, "the head's first linear map has a bias"] = True,
        layernorm: Factory[Norm] = default("normal"),
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.transform = Linear(input_size, embedding_size, bias=mlm_transform_bias)
        self.activation = ACTIVATIONS[hidden_act]
        self.norm = layernorm(size=embedding_size)
        self.output = Linear(embedding_size, vocab_size)
        self.label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of predicted tokens."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M] against ``.value`` [M]."""
        logits = self.logits(states.at(batch[f"labels.{self.name}.index"]))
        value = batch[f"labels.{self.name}.value"]
        return cross_entropy(logits, value, label_smoothing=self.label_smoothing)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[M, H] → [M, V]."""
        return self.output(self.norm(self.activation(self.transform(hidden))))

    def tie(self, table: nn.Parameter) -> bool:
        """Predict with the word table [V, E].

        Raises:
            ConfigError: the table has another shape.
        """
        share_weight(self.output, table)
        return True
