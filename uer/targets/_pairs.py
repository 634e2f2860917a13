"""What targets that compare two streams share."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.errors import ConfigError
from uer.layers.gather import gathered
from uer.states import States


class PairTarget(Target):
    """Document d of one stream belongs to document d of the other, and to no other document.

    Args:
        input_sizes: the widths of both streams.
    """

    additive = False
    labels = ()

    def __init__(self, input_sizes: tuple[int, ...]) -> None:
        super().__init__()
        if len(input_sizes) != 2:
            name = type(self).__module__.rpartition(".")[2]
            raise ConfigError(
                [f"target '{name}' compares two streams; choose embedding: dual and encoder: dual."]
            )

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of pairs."""
        length = batch["src.0.length"]
        return torch.full((), float(length.shape[0]), device=length.device)

    @abstractmethod
    def vectors(self, stream: int, states: States) -> torch.Tensor:
        """[D, F] vectors of any length of the documents of a stream, whose states these are."""

    @abstractmethod
    def logits(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """[D, N] how well unit vectors [D, F] of one stream go with [N, F] of the other."""

    def feature(self, stream: int, states: States) -> torch.Tensor:
        """[D, F] unit vectors of the documents of a stream, whose states these are."""
        return F.normalize(self.vectors(stream, states), dim=-1)

    def features(self, states: States) -> tuple[torch.Tensor, torch.Tensor]:
        """[D, F] unit vectors of the documents of each stream."""
        first, second = states.streams
        return self.feature(0, first), self.feature(1, second)

    @staticmethod
    def candidates(
        first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What each stream is compared with: documents of all processes, with their gradients.

        Args:
            first: [D, F] of this process.
            second: [D, F] of this process.

        Returns:
            [N, F] of both streams, and [D] where this process's pairs are in them.
        """
        rows = gathered(torch.cat((first, second), dim=1))
        all_first, all_second = rows.all.chunk(2, dim=1)
        return all_first, all_second, rows.own

    def no_decay(self) -> list[nn.Parameter]:
        """What scales and shifts the logits."""
        return list(self.parameters(recurse=False))
