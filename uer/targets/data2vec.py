"""Self-distillation of hidden states."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Encoder
from uer.errors import ConfigError
from uer.layers.linear import Linear
from uer.score import Ratio, Score
from uer.signature import Factory, Given
from uer.states import States
from uer.targets._self_distillation import SelfDistillation
from uer.teacher import Teacher


class Data2Vec(SelfDistillation):
    """Where the input is masked, the student predicts the teacher's states of the whole input.

    (data2vec, arXiv:2202.03555.) What is predicted is the mean of the teacher's last ``top_layers``
    layers, each normalised over its features. The teacher reads the same side without
    ``src.masked``; the loss is smooth L1, averaged over the features.

    ``target_spread`` and ``prediction_spread``, the standard deviation over what is predicted,
    show a collapse: near 0, everything has one vector.
    """

    labels = ("index",)
    reads_labelled = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        teacher: Factory[Teacher],
        top_layers: Annotated[int, "last layers of the teacher whose mean is predicted"] = 8,
        smooth_l1_beta: Annotated[
            float, "differences below it count squared, those above as they are; 0: none squared"
        ] = 2.0,
    ) -> None:
        super().__init__()
        if top_layers < 1 or smooth_l1_beta < 0:
            raise ConfigError(["top_layers must be positive, smooth_l1_beta not negative."])
        self.output = Linear(input_size, input_size)
        self.top_layers, self.beta = top_layers, smooth_l1_beta
        self._make = teacher

    def attach(self, model: nn.Module) -> None:
        """Make the teacher of the model; it keeps what its layers make.

        Raises:
            ConfigError: there are fewer layers than are to be averaged, or they are not to be had.
        """
        self.follow(model, self._make)
        encoder = self.teacher["encoder"]
        assert isinstance(encoder, Encoder)
        encoder.keep_layers()
        rounds = getattr(encoder, "rounds", 1)
        layers = len(encoder.stages()) * rounds
        if self.top_layers > layers:
            raise ConfigError([f"top_layers: {self.top_layers}, but the encoder has {layers}."])

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of masked places."""
        index = batch[f"labels.{self.name}.index"]
        return torch.full((), float(index.shape[0]), device=index.device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``labels.<name>.index`` [M]."""
        index = batch[f"labels.{self.name}.index"]
        predicted = self.output(states.at(index)).float()
        side = batch.side("src")
        whole = Batch({name: value for name, value in side.items() if name != "masked"})
        wanted = self._targets(self.taught(whole), index)
        loss = F.smooth_l1_loss(predicted, wanted, reduction="sum", beta=self.beta)
        count = self.weight(batch)
        return Score(
            loss / predicted.shape[1],
            {
                "target_spread": Ratio(_deviation(wanted) * count, count),
                "prediction_spread": Ratio(_deviation(predicted) * count, count),
            },
        )

    def _targets(self, states: States, index: torch.Tensor) -> torch.Tensor:
        """[M, H] the mean of the normalised layers at the indices."""
        found = torch.zeros((), device=states.hidden.device)
        for layer in states.extras["layers"][-self.top_layers :]:
            vectors = states.with_hidden(layer).at(index).float()
            found = found + F.layer_norm(vectors, vectors.shape[-1:])
        return found / self.top_layers


def _deviation(vectors: torch.Tensor) -> torch.Tensor:
    """[] standard deviation over the rows of [n, F], averaged over the features."""
    vectors = vectors.detach()
    if vectors.shape[0] < 2:
        return vectors.new_zeros(())
    return vectors.std(0, correction=0).mean()
