"""Learning from a teacher by a token of its own."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import ConfigError, DataError
from uer.glossary import LabelSmoothing
from uer.score import Score
from uer.signature import Given
from uer.states import States
from uer.targets.cls import Classification
from uer.wanted import Places


class DistillationToken(Classification):
    """Predicts a teacher's class from the distillation token (DeiT, arXiv:2012.12877).

    The teacher is a trained classifier that sees the same images, augmented and mixed as they are;
    the class it finds likeliest is the label (hard distillation, what the paper found best). It is
    not trained and no part of the checkpoint. Without a teacher the batch brings its word, as
    ``labels.<name>.value``: [D] classes or [D, C] probabilities.
    """

    labels = ()

    def __init__(
        self,
        *,
        input_size: Given[int],
        labels_num: Given[int],
        teacher_model_path: Annotated[
            str | None, "checkpoint of a classifier of the same classes, which teaches"
        ] = None,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__(
            input_size=input_size,
            labels_num=labels_num,
            classifier_hidden=False,
            label_smoothing=label_smoothing,
        )
        self._path, self._classes = teacher_model_path, labels_num
        self._teachers: list[nn.Module] = []  # in a list it is no part of the model

    def prepare(self, batch: Batch) -> tuple[Batch, dict[str, Score]]:
        """Let the teacher label the images.

        Raises:
            ConfigError: there are neither labels nor a teacher, or it knows other classes.
        """
        name = f"labels.{self.name}.value"
        if name in batch:
            return batch, {}
        value = self._taught(batch)[: self._images(batch)]
        return Batch({**batch, name: value}), {}

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of images."""
        name = f"labels.{self.name}.value"
        count = len(batch[name]) if name in batch else self._images(batch)
        return torch.full((), float(count), device=batch["src.image"].device)

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """The distillation token of every row."""
        part = states.parts.get("distillation")
        return None if part is None else part.start

    def logits(self, states: States) -> torch.Tensor:
        """[D, C] of every image.

        Raises:
            DataError: there is no such token.
        """
        if "distillation" not in states.parts:
            raise DataError("target 'distillation' needs distillation_token: true.")
        hidden = states.hidden[:, states.parts["distillation"]].squeeze(1)
        return self.output(hidden[: len(states.firsts())])

    @torch.no_grad()
    def _taught(self, batch: Batch) -> torch.Tensor:
        """int64 [B] the teacher's classes."""
        if not self._teachers:
            self._teachers.append(self._made())
        (teacher,) = self._teachers
        teacher.to(batch["src.image"].device)
        states = teacher.states(batch)  # type: ignore[operator]
        return teacher.heads["cls"].logits(states).argmax(-1)  # type: ignore[index]

    def _made(self) -> nn.Module:
        from uer.interop.pretrained import checkpoint_config, load_pretrained
        from uer.recipe import read_recipe

        if self._path is None:
            raise ConfigError(
                [
                    f"target '{self.name}' needs the key 'teacher_model_path': a classifier that "
                    "says of every image which class it sees."
                ]
            )
        recipe = read_recipe(checkpoint_config(self._path))
        teacher = recipe.model.build(recipe.facts)
        head = teacher.heads.get("cls")
        if not isinstance(head, Classification) or head.output.out_features != self._classes:
            raise ConfigError(
                [f"teacher_model_path: {self._path} is no classifier of {self._classes} classes."]
            )
        load_pretrained(teacher, self._path)
        return teacher.eval().requires_grad_(False)

    def _images(self, batch: Batch) -> int:
        """How many there are; a batch that only fills a place has a row, but no image."""
        length = batch.get("src.length")
        return (batch["src.image"] if length is None else length).shape[0]
