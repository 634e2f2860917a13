"""Self-distillation with a predictor."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.glossary import Pooling, ProjectionHiddenSize, ProjectionSize
from uer.layers.projection import batch_norm_head
from uer.score import Ratio, Score
from uer.signature import Factory, Given
from uer.states import States
from uer.targets._self_distillation import SelfDistillation, joined, pooled, spread, views
from uer.teacher import Teacher

_VIEWS = 2


class Byol(SelfDistillation):
    """From one view of an image, the student predicts what the teacher makes of the other.

    (BYOL, arXiv:2006.07733.) Both project their pooled states; the student has a predictor besides,
    and the loss is the squared distance of unit vectors, in both directions: 2 - 2 cos, twice.
    The heads normalise over the rows of a batch, so accumulation is not one big batch, and every
    process compares with its own rows.

    ``feature_spread`` shows a collapse: 0 where all images have one vector.
    """

    additive = False

    def __init__(
        self,
        *,
        input_size: Given[int],
        teacher: Factory[Teacher],
        pooling: Pooling = "first",
        projection_hidden_size: ProjectionHiddenSize = 4096,
        projection_size: ProjectionSize = 256,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.projection = batch_norm_head(input_size, projection_hidden_size, projection_size)
        self.predictor = batch_norm_head(projection_size, projection_hidden_size, projection_size)
        self._make = teacher

    def attach(self, model: nn.Module) -> None:
        """Make the teacher of the model and the projection."""
        self.follow(model, self._make, projection=self.projection)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score D images; hidden [B, L, H] are the student's states of ``src``."""
        sides = views(batch, _VIEWS, self.name)[:_VIEWS]
        documents = batch["src.length"].shape[0]
        projected, own = [], [states, self.read(sides[1])]
        for one in own:
            (vectors,) = pooled(one, self.pooling, documents)
            projected.append(self.projection(vectors))
        said = [F.normalize(self.predictor(one).float(), dim=-1) for one in projected]
        taught = self._teach(sides, documents)
        losses = [
            (2 - 2 * (mine * theirs).sum(-1)).sum()
            for mine, theirs in zip(said, reversed(taught), strict=True)
        ]
        count = torch.full((), float(documents), device=states.hidden.device)
        figure = spread(F.normalize(projected[0].float(), dim=-1))
        return Score(torch.stack(losses).sum(), {"feature_spread": Ratio(figure * count, count)})

    @torch.no_grad()
    def _teach(self, sides: list[Batch], documents: int) -> list[torch.Tensor]:
        """[D, F] the teacher's unit vectors of each view; each is normalised over its own rows."""
        return [
            F.normalize(self.teacher["projection"](vectors).float(), dim=-1)
            for side in joined(sides)
            for vectors in pooled(self.taught(side), self.pooling, documents)
        ]
