"""What flows between modules: vectors, and everything that must travel with them.

A module that changes the length of the sequence or the meaning of its positions (a class token, a
convolution with a stride, text followed by an image, visible patches only) makes new States; masks,
pooling and label indices refer to States, never to the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from uer.glossary import MaskKind
from uer.grid import Grid
from uer.masks import AttentionMask, Side
from uer.wanted import Wanted


@dataclass(frozen=True, eq=False)
class States:
    """Hidden vectors with their geometry.

    Args:
        hidden: [B, L, H] the vectors.
        position: [B, L] position inside the document, or None for 0 … L-1.
        segment: [B, L] segment types, or None for all 0.
        validity: [B, L] False at padding, or None where there is no padding.
        document: [B, L] document of each token, -1 at padding, or None: a row is one document.
        prefix: [B, L] tokens their whole document may see, or None.
        order: [B, L] turn in which tokens are predicted, as in `uer.batch`, or None: all are known.
        query: [B, Q] columns of the masked copies that go with an order.
        first: [D] row * L + column of each document's first token, or None: the rows' first.
        length: [D] tokens of each document, or None: whole rows.
        indexed: the stretch in which label indices count (the patches behind a class token, the
            text beside an image), or None: the whole sequence.
        grid: how patches lie in the image, where the sequence is one; positions count its tokens.
        parts: named stretches of the sequence (``{"text": slice(0, 20), "image": …}``).
        extras: what a target asked for beside the last hidden vectors, by name.
        wanted: all that targets are going to read; an encoder may make all others NaN.
        streams: all streams where there are several; everything else is that of the first.
    """

    hidden: torch.Tensor
    position: torch.Tensor | None = None
    segment: torch.Tensor | None = None
    validity: torch.Tensor | None = None
    document: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    order: torch.Tensor | None = None
    query: torch.Tensor | None = None
    first: torch.Tensor | None = None
    length: torch.Tensor | None = None
    indexed: slice | None = None
    grid: Grid | None = None
    parts: Mapping[str, slice] = field(default_factory=dict)
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)
    wanted: Wanted | None = None
    streams: tuple[States, ...] = ()

    def with_hidden(self, hidden: torch.Tensor) -> States:
        """The same geometry around other vectors."""
        return replace(self, hidden=hidden)

    def reversed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Each row's real tokens in the opposite order; padding stays behind them.

        Args:
            hidden: [B, L, H] vectors of this geometry.
        """
        if self.validity is None:
            return hidden.flip(1)
        place = torch.arange(hidden.shape[1], device=hidden.device)
        tokens = self.validity.sum(1, keepdim=True)
        source = torch.where(place < tokens, tokens - 1 - place, place)
        return hidden.gather(1, source[:, :, None].expand_as(hidden))

    def side(self) -> Side:
        """What attention masks need to know."""
        batch, length = self.hidden.shape[:2]
        return Side(
            (batch, length), self.position, self.validity, self.document, self.prefix, self.grid
        )

    def self_mask(self, kind: MaskKind) -> AttentionMask:
        """The mask of self-attention over these states."""
        side = self.side()
        return AttentionMask(kind, side, side)

    def cross_mask(self, memory: States) -> AttentionMask:
        """The mask of attention from these states to ``memory``: all of its real tokens."""
        return AttentionMask("fully_visible", self.side(), memory.side())

    def at(self, index: torch.Tensor) -> torch.Tensor:
        """[M, H] the vectors at indices of labels, ``row * width + column`` of what is indexed."""
        return self.flat(self.places(index))

    def places(self, index: torch.Tensor) -> torch.Tensor:
        """[M] flat positions of indices of labels."""
        if self.indexed is not None:
            start, width = self.indexed.start, self.indexed.stop - self.indexed.start
            row = index // width
            index = row * self.hidden.shape[1] + start + (index - row * width)
        return index

    def labelled(self) -> torch.Tensor:
        """[B, P, H] the vectors that indices of labels count."""
        return self.hidden if self.indexed is None else self.hidden[:, self.indexed]

    def flat(self, index: torch.Tensor) -> torch.Tensor:
        """[M, H] the vectors at flat indices ``row * L + column``."""
        return self.hidden.flatten(0, 1).index_select(0, index)

    def firsts(self) -> torch.Tensor:
        """[D] flat index of each document's first token."""
        if self.first is not None:
            return self.first
        batch, length = self.hidden.shape[:2]
        return torch.arange(0, batch * length, length, device=self.hidden.device)

    def lengths(self) -> torch.Tensor:
        """[D] tokens of each document."""
        if self.length is not None:
            return self.length
        batch, length = self.hidden.shape[:2]
        return torch.full((batch,), length, device=self.hidden.device)
