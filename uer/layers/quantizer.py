"""Vectors exchanged for entries of codebooks that are learnt beside the model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from uer.errors import ConfigError
from uer.layers.linear import Linear


class Quantized(NamedTuple):
    """What a quantiser makes of N vectors.

    Args:
        vectors: [N, D] entries of all groups, side by side; gradients pass to the scores.
        codes: [N, G] numbers of these entries.
        best: [N, G] numbers of the entries with the highest scores: without noise.
        shares: [N, G, V] probabilities of the entries; where nothing is drawn, one at the best.
    """

    vectors: torch.Tensor
    codes: torch.Tensor
    best: torch.Tensor
    shares: torch.Tensor


class GumbelQuantizer(nn.Module):
    """Chooses an entry of each of G codebooks, at random in training (arXiv:1611.01144).

    In training an entry is drawn from the softmax of the scores by Gumbel noise, and the gradient
    is that of the softmax of noisy scores at a temperature. Otherwise the best entry is taken.

    Args:
        features: C, width of what is quantised.
        groups: G, codebooks.
        entries: V, of each codebook.
        width: D, of what comes out; G divides it.
        temperature: of the softmax in training.

    Raises:
        ConfigError: the groups do not divide the width.
    """

    def __init__(
        self, *, features: int, groups: int, entries: int, width: int, temperature: float
    ) -> None:
        super().__init__()
        if groups < 1 or entries < 1 or width % groups:
            raise ConfigError(
                [
                    f"codebook_groups: {groups} groups of {entries} codes cannot make vectors of "
                    f"width {width} (code_size); the number of groups must divide it."
                ]
            )
        self.scores = Linear(features, groups * entries)
        nn.init.normal_(self.scores.weight, std=1.0)
        self.codebooks = nn.Parameter(torch.rand(groups, entries, width // groups))
        self._temperature = temperature

    def cool(self, temperature: float) -> None:
        """Set the temperature of the softmax in training."""
        self._temperature = temperature

    @property
    def temperature(self) -> float:
        """Of the softmax in training."""
        return self._temperature

    def forward(self, features: torch.Tensor) -> Quantized:
        """Quantise [N, C]."""
        groups, entries, _ = self.codebooks.shape
        scores = self.scores(features).float().view(-1, entries)
        best = scores.argmax(-1)
        if self.training:
            chosen = F.gumbel_softmax(scores, tau=self._temperature, hard=True)
            codes, shares = chosen.detach().argmax(-1), scores.softmax(-1)
        else:
            chosen = shares = F.one_hot(best, entries).to(scores.dtype)
            codes = best
        chosen = chosen.view(-1, groups, entries).to(self.codebooks.dtype)
        vectors = torch.einsum("ngv,gvd->ngd", chosen, self.codebooks).flatten(1)
        shares = shares.view(-1, groups, entries)
        return Quantized(vectors, codes.view(-1, groups), best.view(-1, groups), shares)

    def no_decay(self) -> list[nn.Parameter]:
        """The entries: decay would only make them small."""
        return [self.codebooks]


def perplexity(shares: torch.Tensor) -> torch.Tensor:
    """How many entries are in use: exp(entropy) of each group's mean shares, added up.

    Args:
        shares: [M, G, V]; M may be 0.

    Returns:
        [] from G (one entry of each group) to G * V (all alike).
    """
    mean = shares.float().sum(0) / max(len(shares), 1)
    entropy = -torch.xlogy(mean, mean.clamp(min=1e-30)).sum(-1)
    return entropy.exp().sum()
