"""Who may attend to whom, described instead of materialised.

A mask is the product of three facts: the *kind* (full, causal, prefix), which keys are padding, and
which tokens belong to the same document. The attention layer asks for the cheapest form its kernel
takes: no mask at all, the kernel's own causal flag, or one boolean tensor that is built once per
batch and shared by all layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from uer.glossary import MaskKind
from uer.grid import Grid


@dataclass(frozen=True, eq=False)
class Side:
    """What a mask needs to know of its queries or of its keys.

    Args:
        shape: (B, L).
        position: [B, L] position inside the document, or None for 0 … L-1.
        validity: [B, L] False at padding, or None where there is no padding.
        document: [B, L] document of each token, -1 at padding, or None: a row is one document.
        prefix: [B, L] tokens that the whole document sees; only `causal_with_prefix` asks.
        grid: how the patches of an image lie that the positions count, where it is one.
    """

    shape: tuple[int, int]
    position: torch.Tensor | None = None
    validity: torch.Tensor | None = None
    document: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    grid: Grid | None = None

    def places(self, device: torch.device) -> torch.Tensor:
        """[B or 1, L] positions, written out."""
        if self.position is not None:
            return self.position
        return torch.arange(self.shape[1], device=device)[None]


class KernelMask(NamedTuple):
    """The arguments of `scaled_dot_product_attention`: at most one of the two is set.

    Args:
        allowed: [B or 1, N or 1, Lq, Lk] bool, True where attention is allowed, or what is added to
            the scores; or None.
        is_causal: the kernel's own lower triangle is the whole mask.
    """

    allowed: torch.Tensor | None
    is_causal: bool


@dataclass(frozen=True, eq=False)
class AttentionMask:
    """A described mask between queries and keys (the same side in self-attention).

    Args:
        kind: ``fully_visible``; ``causal``: a token sees itself and what stands before it;
            ``causal_with_prefix``: besides, every token sees its document's prefix.
        query: the side that attends.
        key: the side that is attended to.
        window: a token sees at most this many positions to either side; None: no bound.
    """

    kind: MaskKind
    query: Side
    key: Side
    window: int | None = None
    _made: dict[int | None, KernelMask] = field(default_factory=dict, repr=False)

    def narrow(self, window: int) -> AttentionMask:
        """The same mask seen through a local window; equal windows share one tensor.

        Args:
            window: see the class; one that hides nothing leaves the mask as it is.
        """
        if window >= max(self.query.shape[1], self.key.shape[1]) - 1:
            return self
        return replace(self, window=window)

    def kernel(self, device: torch.device) -> KernelMask:
        """The cheapest equivalent for the attention kernel; built once, then shared.

        With right-hand padding the causal triangle alone is right for every real query: padding
        stands behind all of them. Queries at padding compute something, and nobody reads it.
        """
        if self.window not in self._made:
            self._made[self.window] = self._kernel(device)
        return self._made[self.window]

    def allowed(self, device: torch.device) -> torch.Tensor:
        """[B or 1, 1, Lq, Lk] bool, the kernel mask written out whatever its form."""
        made = self.kernel(device)
        if made.allowed is not None:
            return made.allowed
        every = torch.ones(1, 1, self.query.shape[1], self.key.shape[1], device=device).bool()
        return every.tril() if made.is_causal else every

    def _kernel(self, device: torch.device) -> KernelMask:
        asked, asking = self.key.document, self.query.document
        separate = asked is not None and asking is not None
        square = self.query.shape == self.key.shape
        if self.kind == "causal" and square and not separate and self.window is None:
            return KernelMask(None, is_causal=True)
        allowed = self._positions(device)
        if asked is not None and asking is not None:
            same = asking[:, :, None] == asked[:, None, :]
            allowed = same if allowed is None else allowed & same
        elif self.key.validity is not None and self.kind != "causal":
            visible = self.key.validity[:, None, :]
            allowed = visible if allowed is None else allowed & visible
        if allowed is None:
            return KernelMask(None, is_causal=False)
        return KernelMask(allowed[:, None].expand(-1, 1, self.query.shape[1], -1), is_causal=False)

    def _positions(self, device: torch.device) -> torch.Tensor | None:
        """[B or 1, Lq, Lk] the part of the mask that depends on positions, or None."""
        if self.kind == "fully_visible" and self.window is None:
            return None
        ahead = self.query.places(device)[:, :, None] - self.key.places(device)[:, None, :]
        allowed = ahead.abs() <= self.window if self.window is not None else None
        if self.kind == "fully_visible":
            return allowed
        seen = ahead >= 0
        if self.kind == "causal_with_prefix" and self.key.prefix is not None:
            seen = seen | self.key.prefix[:, None, :]
        return seen if allowed is None else seen & allowed


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderMask(AttentionMask):
    """Who sees whom while tokens are predicted in an order.

    Args:
        order: [B, Lk] of the keys, as in `uer.batch`.
        reach: [B, Lq] the last turn whose token a query sees; it sees the copies of later ones.
    """

    order: torch.Tensor
    reach: torch.Tensor

    def _kernel(self, device: torch.device) -> KernelMask:
        allowed, _ = super()._kernel(device)
        order, reach = self.order[:, None, None, :], self.reach[:, None, :, None]
        seen = torch.where(order >= 0, order <= reach, -order > reach)
        return KernelMask(seen if allowed is None else seen & allowed, is_causal=False)
