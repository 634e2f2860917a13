"""What targets share that learn from a teacher which is a copy of the model itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Embedding, Encoder, Target
from uer.errors import ConfigError, DataError
from uer.layers.pooling import pool
from uer.model import Model
from uer.signature import Factory
from uer.states import States
from uer.teacher import Teacher


class SelfDistillation(Target):
    """A student and its teacher; both read with an embedding and an encoder of the same shape.

    A subclass calls `follow` when it is attached.
    """

    labels = ()
    teacher: Teacher

    def companions(self) -> dict[str, nn.Module]:
        """None that has objectives of its own: the teacher is not trained."""
        return {}

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of documents (images) of the side ``src``."""
        length = batch["src.length"]
        return torch.full((), float(length.shape[0]), device=length.device)

    def follow(self, model: nn.Module, teacher: Factory[Teacher], **heads: nn.Module) -> None:
        """Make the teacher: a copy of the model's body and of some heads.

        Raises:
            ConfigError: the model has a decoder.
        """
        assert isinstance(model, Model)
        if model.decoder is not None:
            raise ConfigError(
                [f"target: '{self.name}' compares the encoder's states; leave the decoder out."]
            )
        # In a tuple: the body belongs to the model, not to this target.
        self._student = (model.embedding, model.encoder)
        students = {"embedding": model.embedding, "encoder": model.encoder, **heads}
        self.teacher = teacher(students=students)

    def read(self, side: Batch) -> States:
        """What the student makes of a side."""
        embedding, encoder = self._student
        return encoder(embedding(side, None))

    @torch.no_grad()
    def taught(self, side: Batch) -> States:
        """What the teacher makes of a side."""
        embedding, encoder = self.teacher["embedding"], self.teacher["encoder"]
        assert isinstance(embedding, Embedding) and isinstance(encoder, Encoder)
        return encoder(embedding(side, None))


def views(batch: Batch, least: int, target: str) -> list[Batch]:
    """The sides that show the same: ``src``, ``view.0``, ``view.1``, …

    Raises:
        DataError: there are fewer than needed.
    """
    found = [batch.side("src")]
    while side := batch.side(f"view.{len(found) - 1}"):
        found.append(side)
    if len(found) < least:
        raise DataError(
            f"the target '{target}' compares {least} views (src, view.0, …) of each row, and the "
            f"batch has {len(found)}; choose the data processor 'views'."
        )
    return found


def joined(sides: list[Batch]) -> list[Batch]:
    """Neighbours of equal shapes as one side with more rows, so that a model is called less often.

    Rows that hold several documents are not joined.
    """
    found: list[Batch] = []
    before: dict[str, Any] | None = None
    for side in sides:
        shapes = {name: tuple(value.shape) for name, value in side.items()}
        if shapes == before and "first" not in side:
            last = found[-1]
            found[-1] = Batch({name: torch.cat([last[name], side[name]]) for name in side})
        else:
            found.append(side)
        before = shapes
    return found


def pooled(states: States, how: str, documents: int) -> list[torch.Tensor]:
    """[D, H] vectors of the documents of each view in states of one or several.

    A batch that is only there to fill has rows, but no documents.
    """
    vectors = pool(states, how)
    if not documents:
        return [vectors[:0]]
    return list(vectors.split(documents))


def spread(vectors: torch.Tensor) -> torch.Tensor:
    """[] how much unit vectors [n, F] differ: 1 in all directions alike, 0 where all are equal."""
    vectors = vectors.detach().float()
    if vectors.shape[0] < 2:
        return vectors.new_zeros(())
    return vectors.std(0, correction=0).mean() * vectors.shape[1] ** 0.5
