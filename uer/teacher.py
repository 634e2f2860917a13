"""A teacher: a copy of a model that is not trained but follows it."""

from __future__ import annotations

import copy as copying
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import nn

from uer.components import Part
from uer.errors import ConfigError
from uer.signature import Given


class Teacher(Part):
    """A running mean of a model's weights, as a model of its own (arXiv:1703.01780).

    A target that learns from a teacher asks for the section ``teacher``::

        teacher: {copy: model, momentum: 0.996}

    After update t the teacher keeps ``momentum`` of itself and takes the rest from its student. The
    momentum rises to ``momentum_end``: on half a cosine over the whole run (arXiv:2006.07733), or,
    with ``momentum_updates``, on a line over so many updates (arXiv:2202.03555).

    The copy has no gradients, no dropout, and is no part of what is trained; a checkpoint holds
    it. It begins as what the student is when training starts, pre-trained weights included, unless
    the weights that were loaded have a teacher themselves.

    Args:
        students: the modules to copy and to follow, by name.
    """

    reads_section: ClassVar[bool] = True

    def __init__(
        self,
        *,
        students: Given[Mapping[str, nn.Module]],
        copy: Annotated[Literal["model"], "what the teacher is a copy of"],
        momentum: Annotated[float, "share of itself that the teacher keeps in an update"] = 0.996,
        momentum_end: Annotated[float, "what the momentum rises to"] = 1.0,
        momentum_updates: Annotated[
            int | None,
            "updates in which the momentum rises on a line; by default the run, on a cosine",
        ] = None,
    ) -> None:
        super().__init__()
        problems = [
            f"teacher.{key}: {value} is not between 0 and 1."
            for key, value in (("momentum", momentum), ("momentum_end", momentum_end))
            if not 0 <= value <= 1
        ]
        if momentum_updates is not None and momentum_updates < 1:
            problems.append(f"teacher.momentum_updates: {momentum_updates} is not positive.")
        if problems:
            raise ConfigError(problems)
        self.momentum, self.momentum_end = momentum, momentum_end
        self.momentum_updates = momentum_updates
        self._students = dict(students)  # a plain dictionary: they are no modules of this one
        self.parts = nn.ModuleDict(copying.deepcopy(self._students))
        self.requires_grad_(False)
        self.eval()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def __getitem__(self, name: str) -> nn.Module:
        """The copy of a student."""
        return self.parts[name]

    def train(self, mode: bool = True) -> Teacher:
        """A teacher is never in training mode: nothing of it is dropped."""
        return super().train(False)

    def momentum_of(self, step: int, total: int) -> float:
        """The momentum of update ``step`` (from 1) of ``total``."""
        if self.momentum_updates is not None:
            way = min(1.0, step / self.momentum_updates)
        else:
            way = (1 - math.cos(math.pi * step / total)) / 2
        return self.momentum + way * (self.momentum_end - self.momentum)

    @torch.no_grad()
    def on_start(self) -> None:
        """Begin as the student is, unless this teacher has followed it before."""
        if not int(self.updates):
            for own, student in self._pairs():
                own.copy_(student)

    @torch.no_grad()
    def on_update(self, step: int, total: int) -> None:
        """Follow the student.

        Raises:
            ConfigError: the engine has divided the weights so that no process can read them.
        """
        share = 1 - self.momentum_of(step, total)
        for own, student in self._pairs():
            if hasattr(own, "ds_id"):
                raise ConfigError(
                    ["teacher: it cannot follow under ZeRO stage 3; choose stage 2, fsdp or ddp."]
                )
            if own.is_floating_point():
                own.lerp_(student, share)
            else:
                own.copy_(student)
        self.updates += 1

    def _pairs(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The teacher's tensors with the student's; engines may exchange both for others."""
        for name, student in self._students.items():
            own = self.parts[name]
            yield from zip(own.parameters(), student.parameters(), strict=True)
            yield from zip(own.buffers(), student.buffers(), strict=True)
