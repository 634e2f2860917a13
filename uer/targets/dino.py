"""Self-distillation with prototypes."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import ConfigError
from uer.glossary import Pooling, ProjectionHiddenSize, ProjectionSize
from uer.layers.projection import PrototypeHead
from uer.layers.sums import summed
from uer.score import Ratio, Score
from uer.signature import Factory, Given
from uer.states import States
from uer.targets._self_distillation import SelfDistillation, joined, pooled, spread, views
from uer.teacher import Teacher

_TEACHERS_VIEWS = 2


class Dino(SelfDistillation):
    """Views of an image belong to the prototypes that the teacher gives other views of it.

    (DINO, arXiv:2104.14294.) The teacher reads the first two views (``src`` and ``view.0``, the
    large crops), the student all; every pair of different views is compared by cross-entropy. The
    teacher's scores are centred, so that no prototype wins everywhere, and sharpened by a low
    temperature, so that not all are alike. The centre is a running mean over updates, so the loss
    is a sum over images.

    Figures that show a collapse: ``entropy`` of the teacher's choices and of their mean
    (``diversity``), as shares of that of guessing: a diversity near 0 means one prototype for all,
    an entropy near 1 means all prototypes alike. ``feature_spread`` is 0 where all images have one
    vector.
    """

    centre: torch.Tensor
    updates: torch.Tensor
    _said: torch.Tensor

    def __init__(
        self,
        *,
        input_size: Given[int],
        teacher: Factory[Teacher],
        pooling: Pooling = "first",
        prototypes_num: Annotated[int, "prototypes that views are assigned to"] = 65536,
        projection_hidden_size: ProjectionHiddenSize = 2048,
        projection_size: ProjectionSize = 256,
        student_temperature: Annotated[float, "the student's cosines are divided by it"] = 0.1,
        teacher_temperature: Annotated[float, "the teacher's cosines are divided by it"] = 0.07,
        teacher_temperature_start: Annotated[
            float, "the teacher's temperature before the first update"
        ] = 0.04,
        teacher_temperature_updates: Annotated[
            int, "updates in which the teacher's temperature rises on a line"
        ] = 0,
        centre_momentum: Annotated[float, "share of the centre that an update keeps"] = 0.9,
        frozen_prototypes_updates: Annotated[
            int, "first updates in which the prototypes stay as they are"
        ] = 0,
    ) -> None:
        super().__init__()
        temperatures = {
            "student_temperature": student_temperature,
            "teacher_temperature": teacher_temperature,
            "teacher_temperature_start": teacher_temperature_start,
        }
        if wrong := [f"{k}: {v} must be above 0." for k, v in temperatures.items() if v <= 0]:
            raise ConfigError(wrong)
        self.head = PrototypeHead(
            input_size, projection_hidden_size, projection_size, prototypes_num
        )
        self.pooling, self.student_temperature = pooling, student_temperature
        self.temperatures = (teacher_temperature_start, teacher_temperature)
        self.warmup, self.frozen = teacher_temperature_updates, frozen_prototypes_updates
        self.centre_momentum = centre_momentum
        self._make = teacher
        self.register_buffer("centre", torch.zeros(prototypes_num))
        self.register_buffer("updates", torch.zeros(()))
        # What the teacher said since the last update: its sum, and of how many vectors.
        self.register_buffer("_said", torch.zeros(prototypes_num + 1), persistent=False)

    def attach(self, model: nn.Module) -> None:
        """Make the teacher of the model and this head."""
        self.follow(model, self._make, head=self.head)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score the views of D images; hidden [B, L, H] are the student's states of ``src``."""
        sides = views(batch, _TEACHERS_VIEWS, self.name)
        documents = batch["src.length"].shape[0]
        learnt = (self.updates >= self.frozen).float()
        own, of_states = [], [states, *map(self.read, joined(sides[1:]))]
        for one in of_states:
            own += [self.head(vectors) for vectors in pooled(one, self.pooling, documents)]
        student = [
            (self.head.scores(units, learnt) / self.student_temperature).log_softmax(-1)
            for units in own
        ]
        teacher = self._teach(sides[:_TEACHERS_VIEWS], documents)
        pairs = [
            -(chosen * said).sum()
            for number, chosen in enumerate(teacher)
            for other, said in enumerate(student)
            if other != number
        ]
        loss = torch.stack(pairs).sum() / len(pairs)
        return Score(loss, self._figures(torch.cat(teacher), own[0]))

    @torch.no_grad()
    def _teach(self, sides: list[Batch], documents: int) -> list[torch.Tensor]:
        """[D, K] shares that the teacher gives the prototypes, of each of its views."""
        head = self.teacher["head"]
        assert isinstance(head, PrototypeHead)
        found = []
        for side in joined(sides):
            for vectors in pooled(self.taught(side), self.pooling, documents):
                found.append(head.scores(head(vectors)).float())
        if self.training:
            for scores in found:
                self._said[:-1] += scores.sum(0)
                self._said[-1] += scores.shape[0]
        return [((scores - self.centre) / self._temperature()).softmax(-1) for scores in found]

    def _temperature(self) -> torch.Tensor:
        """[] the teacher's, after the updates so far."""
        start, end = self.temperatures
        way = (self.updates / self.warmup).clamp(max=1.0) if self.warmup else 1.0
        return torch.as_tensor(start + (end - start) * way, device=self.centre.device)

    def _figures(self, chosen: torch.Tensor, units: torch.Tensor) -> dict[str, Ratio]:
        """Of the teacher's shares [n, K] and the student's unit vectors [D, F]."""
        most, count = math.log(chosen.shape[-1]), chosen.new_full((), float(chosen.shape[0]))
        mean = chosen.sum(0) / count.clamp(min=1)
        return {
            "entropy": Ratio(_entropy(chosen).sum() / most, count),
            "diversity": Ratio(_entropy(mean) / most * count, count),
            "feature_spread": Ratio(spread(units) * count, count),
        }

    @torch.no_grad()
    def on_update(self, step: int, total: int) -> None:
        """Move the centre to the mean of what the teacher said in this update, in all processes."""
        said = summed(self._said)
        count = said[-1]
        mean = said[:-1] / count.clamp(min=1)
        self.centre.lerp_(mean, (1 - self.centre_momentum) * (count > 0).float())
        self._said.zero_()
        self.updates.fill_(step)


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(shares).sum(-1)
