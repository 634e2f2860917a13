"""The parts inside a layer: six more registries, built and passed in like the big five.

Shapes: B rows, L tokens, H hidden size, N heads, Dh size of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from uer.masks import AttentionMask, KernelMask
from uer.registry import Registry
from uer.states import States


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


class Placement:
    """How positions enter attention in one forward pass: as a rotation, or as a bias.

    Made once by `Position`, used by every layer. This one does nothing.
    """

    def rotate(self, vectors: torch.Tensor) -> torch.Tensor:
        """Queries or keys [B, N, L, Dh], turned by their positions."""
        return vectors

    def bias(self) -> torch.Tensor | None:
        """[B or 1, N, Lq, Lk] what is added to the scores, or None."""
        return None


class Position(nn.Module, ABC):
    """A position scheme that acts inside attention (instead of being added to embeddings)."""

    @abstractmethod
    def forward(self, mask: AttentionMask, device: torch.device) -> Placement:
        """Prepare a forward pass.

        Args:
            mask: who attends to whom; knows the positions of queries and keys.
            device: where the tensors are needed.
        """

    def no_decay(self) -> list[nn.Parameter]:
        """Parameters without weight decay: none of a scheme's, by default."""
        return []


class AttentionContext:
    """What attention needs beside vectors; made once per forward pass, shared by the layers.

    Args:
        mask: who may attend to whom.
        placement: where positions act inside attention.
        keys: self-attention looks at the first so many vectors only; None: at all of them.

    Attributes:
        scores: [B, N, Lq, Lk] of the layer before; attention that adds layers' scores up reads
            and replaces them.
    """

    def __init__(
        self,
        mask: AttentionMask,
        placement: Placement | None = None,
        *,
        keys: int | None = None,
    ) -> None:
        self.mask, self.placement, self.keys = mask, placement or Placement(), keys
        self.scores: torch.Tensor | None = None
        self._made: dict[torch.dtype, KernelMask] = {}

    def kernel(self, vectors: torch.Tensor) -> KernelMask:
        """The mask and the positions' bias, as the fused kernel takes them.

        Args:
            vectors: their device and dtype decide those of the result.
        """
        if vectors.dtype not in self._made:
            self._made[vectors.dtype] = self._kernel(vectors)
        return self._made[vectors.dtype]

    def of_query(self, column: int) -> AttentionContext:
        """The same for one query of every row, which looks at all vectors.

        Args:
            column: of the query.
        """
        return _OneQuery(self, column)

    def added(self, vectors: torch.Tensor) -> torch.Tensor:
        """[B or 1, N or 1, Lq, Lk] mask and bias as one tensor to add to scores."""
        allowed = self.mask.allowed(vectors.device)
        bias = self.placement.bias()
        least = torch.finfo(vectors.dtype).min
        if bias is None:
            return vectors.new_zeros(allowed.shape).masked_fill(~allowed, least)
        return bias.to(vectors.dtype).masked_fill(~allowed, least)

    def _kernel(self, vectors: torch.Tensor) -> KernelMask:
        bias, kernel = self.placement.bias(), self.mask.kernel(vectors.device)
        if bias is None:
            return kernel
        if kernel.allowed is None and not kernel.is_causal:
            return KernelMask(bias.to(vectors.dtype), is_causal=False)
        return KernelMask(self.added(vectors), is_causal=False)


class _OneQuery(AttentionContext):
    """See `AttentionContext.of_query`."""

    def __init__(self, whole: AttentionContext, column: int) -> None:
        super().__init__(whole.mask, whole.placement, keys=whole.keys)
        self._whole, self._column = whole, column

    def _kernel(self, vectors: torch.Tensor) -> KernelMask:
        kernel = self._whole.kernel(vectors)
        if kernel.is_causal:
            kernel = KernelMask(self.mask.allowed(vectors.device), is_causal=False)
        if kernel.allowed is None:
            return kernel
        return KernelMask(kernel.allowed[:, :, self._column : self._column + 1], is_causal=False)


class Attention(nn.Module, ABC):
    """Attention of a layer: from a sequence to itself or to a memory.

    Attributes:
        selective: self-attention takes ``wanted: Wanted`` besides and makes [M, H], what is wanted.
    """

    selective: bool = False

    @abstractmethod
    def forward(
        self,
        hidden: torch.Tensor,
        context: AttentionContext,
        *,
        memory: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            hidden: [B, Lq, H] what asks.
            context: mask between hidden and memory, and positions.
            memory: [B, Lk, H'] what is looked at; None: hidden itself.

        Returns:
            [B, Lq, H].
        """


class Layer(nn.Module, ABC):
    """One layer of an encoder.

    Attributes:
        packable: it keeps documents of a row apart, as the mask says.
        selective: it takes ``wanted: Wanted`` besides and makes [M, H], what is wanted, only.
    """

    packable: ClassVar[bool] = True
    selective: bool = False

    @abstractmethod
    def forward(self, hidden: torch.Tensor, context: AttentionContext) -> torch.Tensor:
        """[B, L, H] → [B, L, H]."""


class Pooler(nn.Module, ABC):
    """A head that makes one vector of a document's states; `uer.layers.pooling` needs none."""

    @abstractmethod
    def forward(self, states: States) -> torch.Tensor:
        """[B, L, H] → [D, H], documents in the order of their first tokens."""


norms: Registry[Norm] = Registry("norm", Norm, "uer.layers.norms")
feed_forwards: Registry[FeedForward] = Registry(
    "feed-forward block", FeedForward, "uer.layers.feed_forwards"
)
positions: Registry[Position] = Registry("position scheme", Position, "uer.layers.positions")
attentions: Registry[Attention] = Registry("attention", Attention, "uer.layers.attentions")
layers: Registry[Layer] = Registry("layer", Layer, "uer.layers.blocks")
poolers: Registry[Pooler] = Registry("pooling head", Pooler, "uer.layers.poolers")
