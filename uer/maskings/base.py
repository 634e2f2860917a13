"""Masked language modelling: which tokens are predicted, and what stands in their place.

The tokens of an instance that may be predicted fall into *groups*: single tokens, random spans, or
whole words. Groups are put into a random order, and the first ones are chosen until the instance
has its share. An instance's choice depends on (seed, epoch, instance) and not on the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from uer.data.instances import Bools, Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw, leading, random_order
from uer.errors import ConfigError
from uer.registry import Registry
from uer.signature import Given

MaskRate = Annotated[float, "share of an instance's tokens that masked language modelling predicts"]
MaskSplit = Annotated[
    tuple[float, float, float],
    "shares of the predicted tokens that become [MASK], become a random token, and stay",
]


class Masked(NamedTuple):
    """The result of masking.

    Args:
        ids: int64 [T] what the model reads.
        place: int64 [M] where a token is predicted, ascending.
        value: int64 [M] the tokens that stood there.
    """

    ids: Ints
    place: Ints
    value: Ints


class Candidates(NamedTuple):
    """[C] each: place in the batch's tokens, row, instance number, place in the instance."""

    place: Ints
    row: Ints
    instance: Ints
    column: Ints

    def heads(self) -> Bools:
        """[C] candidates that do not stand right behind another one of their instance."""
        apart = np.ones(len(self.place), np.bool_)
        apart[1:] = (np.diff(self.place) > 1) | (np.diff(self.row) > 0)
        return apart


class Masking(ABC):
    """A way of masking.

    Args:
        mask_rate: share of the candidates that is predicted: max(1, round(rate * candidates)) of
            them; whole groups come as near to it as their lengths allow.
        mask_split: shares that become [MASK], become a random token, and stay.
        mask_id: id of [MASK].
        vocab_size: how many ids there are.
        special_ids: ids that never replace a token.

    Attributes:
        whole: groups are never split.
        alike: a group is treated in one way: all [MASK], all random, or all kept.
        ordinary: [V'] the ids that may replace a token: all but the special ones.

    Raises:
        ConfigError: settings that are out of range; all are named.
    """

    whole: ClassVar[bool] = False
    alike: ClassVar[bool] = False

    def __init__(
        self,
        *,
        mask_rate: MaskRate = 0.15,
        mask_split: MaskSplit = (0.8, 0.1, 0.1),
        mask_id: Given[int],
        vocab_size: Given[int],
        special_ids: Given[Sequence[int]],
    ) -> None:
        self.ordinary = np.setdiff1d(np.arange(vocab_size), np.asarray(special_ids, np.int64))
        self.rate, self.split, self.mask_id = mask_rate, mask_split, mask_id
        require(
            (0 < mask_rate <= 1, f"mask_rate: {mask_rate} is not in (0, 1]."),
            (
                min(mask_split) >= 0 and abs(sum(mask_split) - 1) <= 1e-6,
                f"mask_split: {tuple(mask_split)} are not three shares that sum to 1.",
            ),
            (
                len(self.ordinary) > 0,
                f"all {vocab_size} tokens of the vocabulary are special, none is left to replace "
                "a masked token; check the vocabulary.",
            ),
        )

    @abstractmethod
    def leaders(self, some: Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """[C] the first candidate of the group that each candidate belongs to.

        Args:
            some: what may be predicted, ascending.
            ragged: the instances.
            draw: the randomness of their epoch.
        """

    def __call__(self, ragged: Ragged, draw: Draw) -> Masked:
        """Mask some instances; special tokens and those without loss are never predicted.

        Args:
            ragged: the instances.
            draw: the randomness of their epoch.
        """
        place = np.flatnonzero(ragged.loss & ~ragged.special)
        row = ragged.owners()[place]
        some = Candidates(place, row, ragged.which[row], place - ragged.offsets[row])
        leader = self.leaders(some, ragged, draw)
        chosen = self._choose(some, leader, draw)
        one_way = leader if self.alike else np.arange(len(place))
        ids, index = ragged.ids.copy(), place[chosen]
        ids[index] = self._corrupt(ragged.ids[index], some, (chosen, one_way[chosen]), draw)
        return Masked(ids, index, ragged.ids[index])

    def share(self, counts: Ints) -> Ints:
        """How many of so many candidates are predicted; whole groups may be a few more or fewer."""
        return np.minimum(np.maximum(np.rint(self.rate * counts).astype(np.int64), 1), counts)

    def most(self, counts: Ints) -> Ints:
        """No more of so many candidates are ever predicted; a word can be all of a text."""
        return counts if self.whole else self.share(counts)

    def _choose(self, some: Candidates, leader: Ints, draw: Draw) -> Ints:
        """[M] the candidates that are predicted, ascending."""
        luck = draw.bits("mask", some.instance, some.column[leader])
        counts = np.bincount(some.row)
        starts = np.cumsum(counts) - counts
        share = self.share(counts)
        order = random_order(some.row, luck)
        if self.whole:
            share = _whole_groups(leader[order], some.row, starts, share)
        return np.sort(leading(order, counts, share))

    def _corrupt(self, ids: Ints, some: Candidates, chosen: tuple[Ints, Ints], draw: Draw) -> Ints:
        """[M] what the model reads instead of ``ids``.

        Args:
            ids: [M] the tokens to predict.
            some: all candidates.
            chosen: [M] the candidates, and [M] those that decide for them.
            draw: the randomness of their epoch.
        """
        which, decisive = chosen
        instance = some.instance[which]
        luck = draw.uniform("mask way", instance, some.column[decisive])
        number = draw.integers("mask replacement", instance, len(self.ordinary), some.column[which])
        masked, replaced, _ = self.split
        changed = np.where(luck < masked + replaced, self.ordinary[number], ids)
        return np.where(luck < masked, self.mask_id, changed)


def require(*rules: tuple[bool, str]) -> None:
    """Refuse settings, all broken rules at once.

    Raises:
        ConfigError: a rule does not hold.
    """
    if problems := [sentence for holds, sentence in rules if not holds]:
        raise ConfigError(problems)


def _whole_groups(leader: Ints, row: Ints, starts: Ints, share: Ints) -> Ints:
    """[R] candidates to choose so that groups stay whole, as near to the share as possible.

    Args:
        leader: [C] the group of each candidate, in the random order.
        row: [C] its row.
        starts: [R] the first candidate of each row.
        share: [R] how many should be chosen.
    """
    group = np.flatnonzero(np.diff(leader, prepend=-1))
    size = np.diff(group, append=len(leader))
    owner = row[group]
    before = group - starts[owner]
    # The group that crosses the share is taken if that comes nearer to it; the first one always.
    taken = (before == 0) | (2 * before + size <= 2 * share[owner])
    return np.bincount(owner, weights=size * taken, minlength=len(share)).astype(np.int64)


maskings: Registry[Masking] = Registry("masking", Masking, "uer.maskings")
