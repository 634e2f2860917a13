"""The parts inside a layer: five more registries, built and passed in like the big five.

Shapes: B rows, L tokens, H hidden size, N heads, Dh size of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from uer.masks import AttentionMask
from uer.registry import Registry


class Norm(nn.Module, ABC):
    """Normalises the last dimension; at initialisation its scale is one and its shift zero."""

    @abstractmethod
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […, H]."""

    def no_decay(self) -> list[nn.Parameter]:
        """All of a norm's parameters: shrinking a scale towards zero is no regularisation."""
        return list(self.parameters(recurse=False))


class FeedForward(nn.Module, ABC):
    """The position-wise block of a layer."""

    @abstractmethod
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, L, H] → [B, L, H]."""


class Placement(NamedTuple):
    """How positions enter one forward pass; made once by `Position`, used by every layer.

    Args:
        cos: [B or 1, L, Dh] for the rotation of queries and keys.
        sin: [B or 1, L, Dh].
    """

    cos: torch.Tensor
    sin: torch.Tensor


class Position(nn.Module, ABC):
    """A position scheme that acts inside attention (instead of being added to embeddings)."""

    @abstractmethod
    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """Prepare a forward pass.

        Args:
            mask: who attends to whom; knows the positions of queries and keys.
            device: where the tensors are needed.
        """


class Attention(nn.Module, ABC):
    """Attention of a layer: from a sequence to itself or to a memory."""

    @abstractmethod
    def forward(
        self,
        hidden: torch.Tensor,
        mask: AttentionMask,
        *,
        memory: torch.Tensor | None = None,
        placement: Placement | None = None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            hidden: [B, Lq, H] what asks.
            mask: described mask between hidden and memory.
            memory: [B, Lk, H'] what is looked at; None: hidden itself.
            placement: positions, where the scheme acts inside attention.

        Returns:
            [B, Lq, H].
        """


class Layer(nn.Module, ABC):
    """One layer of an encoder.

    Attributes:
        packable: it keeps documents of a row apart, as the mask says.
    """

    packable: ClassVar[bool] = True

    @abstractmethod
    def forward(
        self, hidden: torch.Tensor, mask: AttentionMask, placement: Placement | None
    ) -> torch.Tensor:
        """[B, L, H] → [B, L, H]."""


norms: Registry[Norm] = Registry("norm", Norm, "uer.layers.norms")
feed_forwards: Registry[FeedForward] = Registry(
    "feed-forward block", FeedForward, "uer.layers.feed_forwards"
)
positions: Registry[Position] = Registry("position scheme", Position, "uer.layers.positions")
attentions: Registry[Attention] = Registry("attention", Attention, "uer.layers.attentions")
layers: Registry[Layer] = Registry("layer", Layer, "uer.layers.blocks")
