"""Vectors that stand for all others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from uer.components import Part
from uer.errors import ConfigError
from uer.layers.sums import summed

_DEAD = 0.1  # of the share that every code has when all are chosen alike
_APART = 0.01  # how far a split moves a code, in units of its length


class Coded(NamedTuple):
    """What a codebook makes of M vectors.

    Args:
        codes: int64 [M] the nearest code of each.
        vectors: [M, F] unit vectors of these codes; gradients pass to what was coded.
        loss: [] distances between vectors and codes, summed over the M.
    """

    codes: torch.Tensor
    vectors: torch.Tensor
    loss: torch.Tensor


class Codebook(Part):
    """K unit vectors; each vector is replaced by the nearest (VQ-VAE, arXiv:1711.00937).

    Only directions count, so that nothing can drift (arXiv:2110.04627). Vectors are drawn to their
    codes by ``commitment`` times the squared distance. Codes follow the mean of what chose them
    (``decay``; arXiv:1906.00446), once an update and over all processes; or, without a decay, they
    are parameters, drawn to their vectors by the squared distance.

    A running codebook splits: a code that hardly anything chooses is put beside the one that is
    chosen most. Nothing of this is random, so all processes do the same.

    Args:
        size: K.
        width: F.
        commitment: weight of the distance in the loss of vectors.
        decay: share of a code that an update keeps; None: codes are trained.

    Raises:
        ConfigError: a number is out of range.
    """

    sizes: torch.Tensor
    _chosen: torch.Tensor

    def __init__(self, size: int, width: int, *, commitment: float, decay: float | None) -> None:
        super().__init__()
        if size < 2 or width < 1 or (decay is not None and not 0 <= decay < 1):
            raise ConfigError(
                [
                    f"a codebook needs at least 2 codes (codebook_size {size}), of width 1 or more "
                    f"(code_size {width}), and a codebook_decay between 0 and 1 ({decay})."
                ]
            )
        self.commitment, self.decay = commitment, decay
        codes = F.normalize(torch.randn(size, width), dim=-1)
        if decay is None:
            self.table = nn.Parameter(codes)
            return
        self.register_buffer("table", codes)
        self.register_buffer("sizes", torch.ones(size) / size)
        # Since the last update: how often each code was chosen, and the sum of what chose it.
        self.register_buffer("_chosen", torch.zeros(size, width + 1), persistent=False)

    def forward(self, vectors: torch.Tensor) -> Coded:
        """Code vectors [M, F]."""
        units = F.normalize(vectors.float(), dim=-1)
        table = F.normalize(self.table, dim=-1)
        codes = self._nearest(units, table)
        found = table[codes]
        loss = self.commitment * (units - found.detach()).square().sum()
        if self.decay is None:
            loss = loss + (units.detach() - found).square().sum()
        elif self.training:
            self._note(units.detach(), codes)
        return Coded(codes, units + (found - units).detach(), loss)

    def codes(self, vectors: torch.Tensor) -> torch.Tensor:
        """int64 [M] the nearest code of each of the vectors [M, F]."""
        units = F.normalize(vectors.float(), dim=-1)
        return self._nearest(units, F.normalize(self.table, dim=-1))

    def vectors(self, codes: torch.Tensor) -> torch.Tensor:
        """[…, F] the unit vectors of codes […]."""
        return F.embedding(codes, F.normalize(self.table, dim=-1))

    @torch.no_grad()
    def on_update(self, step: int, total: int) -> None:
        """Move a running codebook."""
        if self.decay is None:
            return
        chosen = summed(self._chosen)
        counts, sums = chosen[:, -1], chosen[:, :-1]
        share = counts / counts.sum().clamp(min=1)
        # A code moves as far as what chose it weighs against what it stood for until now.
        fresh = (1 - self.decay) * share
        weight = fresh / (self.decay * self.sizes + fresh).clamp(min=1e-12)
        means = sums / counts[:, None].clamp(min=1)
        self.table.copy_(F.normalize(self.table + weight[:, None] * (means - self.table), dim=-1))
        self.sizes.lerp_(share, (1 - self.decay) * (counts.sum() > 0).float())
        self._split()
        self._chosen.zero_()

    def no_decay(self) -> list[nn.Parameter]:
        """The codes: only their directions count."""
        return list(self.parameters(recurse=False))

    def _note(self, units: torch.Tensor, codes: torch.Tensor) -> None:
        ones = units.new_ones(len(units), 1)
        self._chosen.index_add_(0, codes, torch.cat([units, ones], 1))

    def _split(self) -> None:
        """Put dead codes beside big ones; the two share what the big one was chosen for."""
        size, width = self.table.shape
        order = self.sizes.argsort(descending=True, stable=True)
        big, small = order[: size // 2], order.flip(0)[: size // 2]
        half = self.sizes[big] / 2
        splits = (self.sizes[small] < _DEAD / size) & (half > _DEAD / size)
        # Each new code leaves along an axis of its own number, so copies of one code differ.
        axis = F.one_hot(small % width, width).to(self.table)
        beside = F.normalize(self.table[big] + _APART * axis, dim=-1)
        self.table[small] = torch.where(splits[:, None], beside, self.table[small])
        self.sizes[small] = torch.where(splits, half, self.sizes[small])
        self.sizes[big] = torch.where(splits, half, self.sizes[big])

    def _nearest(self, units: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return (units.detach() @ table.detach().T).argmax(-1)


def perplexity(codes: torch.Tensor, size: int) -> torch.Tensor:
    """[] how many codes would be as evenly spread as these: 1 … size; 0 without any."""
    if not len(codes):
        return torch.zeros((), device=codes.device)
    one = torch.full((len(codes),), 1 / len(codes), device=codes.device)
    shares = one.new_zeros(size).index_add(0, codes, one)
    return torch.special.entr(shares).sum().exp()
