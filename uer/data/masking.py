"""Masked language modelling: which tokens are predicted, and what stands in their place.

One rule serves all modes. The tokens of an instance that may be predicted fall into *groups*:
single tokens, random spans, or whole words. Groups are put into a random order, and the first ones
are chosen until the instance has its share. An instance's choice depends on (seed, epoch, instance)
and not on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np

from uer.data.instances import Ints, Ragged
from uer.data.randomness import Bits, Draw
from uer.errors import ConfigError

MaskRate = Annotated[float, "share of an instance's tokens that masked language modelling predicts"]
MaskSplit = Annotated[
    tuple[float, float, float],
    "shares of the predicted tokens that become [MASK], become a random token, and stay",
]
WholeWordMasking = Annotated[bool, "mask the tokens of a word together"]
SpanMasking = Annotated[bool, "mask spans of tokens, each in one way"]
SpanGeoProb = Annotated[float, "chance that a masked span ends after a token (mean length 1/p)"]
SpanMaxLength = Annotated[int, "longest masked span"]

_ROW_BITS, _LUCK_BITS, _NUMBER_BITS = 16, 26, 22  # of a sort key


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


@dataclass(frozen=True, eq=False)
class Masking:
    """A way of masking; build it with `Masking.of`, which checks the settings.

    Args:
        mode: what is chosen together: a ``token``, a ``span`` or a ``word``.
        rate: share of the candidates that is predicted: max(1, round(rate * candidates)) of them;
            whole words come as near to it as their lengths allow.
        split: shares that become [MASK], become a random token, and stay. Decided once per span,
            otherwise per token.
        geo_prob: spans are geometric with this parameter …
        max_length: … and cut at this length.
        mask_id: id of [MASK].
        ordinary: [V'] the ids that may replace a token: all but the special ones.
    """

    mode: Literal["token", "span", "word"]
    rate: float
    split: tuple[float, float, float]
    geo_prob: float
    max_length: int
    mask_id: int
    ordinary: Ints

    @staticmethod
    def of(
        *,
        whole_word_masking: bool,
        span_masking: bool,
        mask_rate: float,
        mask_split: tuple[float, float, float],
        span_geo_prob: float,
        span_max_length: int,
        mask_id: int,
        vocab_size: int,
        special_ids: Sequence[int],
    ) -> Masking:
        """Masking from a processor's configuration.

        Raises:
            ConfigError: settings that are out of range or exclude each other; all are named.
        """
        ordinary = np.setdiff1d(np.arange(vocab_size), np.asarray(special_ids, np.int64))
        rules = [
            (
                whole_word_masking and span_masking,
                "whole_word_masking and span_masking exclude each other; choose one.",
            ),
            (not 0 < mask_rate <= 1, f"mask_rate: {mask_rate} is not in (0, 1]."),
            (
                min(mask_split) < 0 or abs(sum(mask_split) - 1) > 1e-6,
                f"mask_split: {tuple(mask_split)} are not three shares that sum to 1.",
            ),
            (not 0 < span_geo_prob <= 1, f"span_geo_prob: {span_geo_prob} is not in (0, 1]."),
            (span_max_length < 1, f"span_max_length: {span_max_length} is not positive."),
            (
                not len(ordinary),
                f"all {vocab_size} tokens of the vocabulary are special, none is left to replace "
                "a masked token; check the vocabulary.",
            ),
        ]
        if problems := [sentence for broken, sentence in rules if broken]:
            raise ConfigError(problems)
        mode = "word" if whole_word_masking else "span" if span_masking else "token"
        return Masking(
            mode, mask_rate, mask_split, span_geo_prob, span_max_length, mask_id, ordinary
        )

    def __call__(self, ragged: Ragged, draw: Draw) -> Masked:
        """Mask some instances; special tokens and those without loss are never predicted.

        Args:
            ragged: the instances.
            draw: the randomness of their epoch.
        """
        place = np.flatnonzero(ragged.loss & ~ragged.special)
        row = ragged.owners()[place]
        some = _Candidates(place, row, ragged.which[row], place - ragged.offsets[row])
        leader = self._leaders(some, ragged, draw)
        chosen = self._choose(some, leader, draw)
        one_way = leader if self.mode == "span" else np.arange(len(place))
        ids, index = ragged.ids.copy(), place[chosen]
        ids[index] = self._corrupt(ragged.ids[index], some, (chosen, one_way[chosen]), draw)
        return Masked(ids, index, ragged.ids[index])

    def _leaders(self, some: _Candidates, ragged: Ragged, draw: Draw) -> Ints:
        """[C] the first candidate of the group that each candidate belongs to."""
        number = np.arange(len(some.place))
        if self.mode == "token":
            return number
        head = np.ones(len(number), np.bool_)
        head[1:] = (np.diff(some.place) > 1) | (np.diff(some.row) > 0)
        if self.mode == "word":
            head |= ragged.word_start[some.place]
        else:
            head |= draw.uniform("mask span", some.instance, some.column) < self.geo_prob
            # What is left of a geometric length is geometric again: a cut span simply starts anew.
            head |= (number - np.maximum.accumulate(number * head)) % self.max_length == 0
        return np.maximum.accumulate(number * head)

    def _choose(self, some: _Candidates, leader: Ints, draw: Draw) -> Ints:
        """[M] the candidates that are predicted, ascending."""
        luck = draw.bits("mask", some.instance, some.column[leader])
        counts = np.bincount(some.row)
        starts = np.cumsum(counts) - counts
        share = np.minimum(np.maximum(np.rint(self.rate * counts).astype(np.int64), 1), counts)
        order = _random_order(some.row, luck)
        if self.mode == "word":
            share = _whole_groups(leader[order], some.row, starts, share)
        # The first of each row: count up from its start, as often as its share says.
        ahead = starts - (np.cumsum(share) - share)
        return np.sort(order[np.arange(share.sum()) + np.repeat(ahead, share)])

    def _corrupt(self, ids: Ints, some: _Candidates, chosen: tuple[Ints, Ints], draw: Draw) -> Ints:
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


class _Candidates(NamedTuple):
    """[C] each: place in the batch's tokens, row, instance number, place in the instance."""

    place: Ints
    row: Ints
    instance: Ints
    column: Ints


def _random_order(row: Ints, luck: Bits) -> Ints:
    """[C] the candidates by row, then by luck, then by number.

    All of it is packed into the keys: sorting them is much faster than looking for the order, and
    has one result only.
    """
    assert len(row) < 1 << _NUMBER_BITS, "more tokens than a batch can hold"
    assert row.max(initial=0) < 1 << _ROW_BITS, "more instances than a batch can hold"
    luck = luck >> np.uint64(64 - _LUCK_BITS) << np.uint64(_NUMBER_BITS)
    keys = row.astype(np.uint64) << np.uint64(_LUCK_BITS + _NUMBER_BITS) | luck
    keys = np.sort(keys | np.arange(len(row), dtype=np.uint64))
    return (keys & np.uint64((1 << _NUMBER_BITS) - 1)).astype(np.int64)


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
