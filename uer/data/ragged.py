"""Training instances written out: their tokens, gathered from the store when a batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Bools, Instances, Ints, TokenSide, TokenStore


@dataclass(frozen=True, eq=False)
class Ragged:
    """Some instances written out, one after the other without padding.

    T tokens of n instances; instance i is ``offsets[i]:offsets[i + 1]`` of every token array.

    Args:
        ids: int64 [T] tokens.
        offsets: int64 [n+1] where each instance starts.
        segment: uint8 [T] segment types, or None where every layout has only segment 0.
        loss: bool [T] may be predicted.
        special: bool [T] stems from a constant.
        word_start: bool [T] a word starts here; True at constants.
        prefix: bool [T] visible to the whole instance, or None where no layout has a prefix.
        which: int64 [n] the instances' numbers.
        position: int64 [T] position, or None where it is the place in the instance.
        order: int64 [T] turn in which a token is predicted, as in `uer.batch`, or None.
    """

    ids: Ints
    offsets: Ints
    segment: NDArray[np.uint8] | None
    loss: Bools
    special: Bools
    word_start: Bools
    prefix: Bools | None
    which: Ints
    position: Ints | None = None
    order: Ints | None = None

    def __len__(self) -> int:
        return len(self.which)

    def lengths(self) -> Ints:
        """[n] tokens of each instance."""
        return np.diff(self.offsets)

    def owners(self) -> Ints:
        """[T] which of the n instances each token belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def positions(self) -> Ints:
        """[T] position of each token in its instance."""
        if self.position is not None:
            return self.position
        return np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths())

    def keep(self, wanted: Bools) -> Ragged:
        """The same instances with some of their tokens only.

        Args:
            wanted: [T] True at tokens that stay.
        """
        before = np.concatenate([[0], np.cumsum(wanted)])
        return replace(
            self,
            offsets=before[self.offsets],
            **{
                name: None if value is None else value[wanted]
                for name, value in self._token_arrays().items()
            },
        )

    @staticmethod
    def join(parts: Sequence[Ragged]) -> Ragged:
        """One after the other; all parts come from the same processor."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([part.lengths() for part in parts])
        columns = [part._token_arrays() for part in parts]
        joined: dict[str, Any] = {
            name: None if value is None else np.concatenate([c[name] for c in columns])
            for name, value in columns[0].items()
        }
        return Ragged(
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            which=np.concatenate([part.which for part in parts]),
            **joined,
        )

    @staticmethod
    def of(ids: Ints, lengths: Ints, which: Ints) -> Ragged:
        """Instances that a processor wrote itself; they have only ids.

        Args:
            ids: [T] tokens, one instance after the other.
            lengths: [n] tokens of each instance.
            which: [n] the instances' numbers.
        """
        ones = np.ones(len(ids), np.bool_)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Ragged(ids, offsets, None, ones, ~ones, ones, None, which)

    def _token_arrays(self) -> dict[str, Any]:
        names = (f.name for f in fields(self) if f.name not in ("offsets", "which"))
        return {name: getattr(self, name) for name in names}


def gather(side: TokenSide, instances: Instances, which: Ints) -> Ragged:
    """Write instances out.

    Args:
        side: where their spans lie.
        instances: all instances.
        which: [n] numbers of those that are wanted, in this order; at least one.
    """
    tables, layout = instances.tables, instances.layout[which]
    column, constant = tables.column[layout], tables.constant[layout]
    length = _piece_lengths(instances.length[which], column, constant)
    start = np.concatenate([instances.start[which], np.zeros((len(which), 2), np.int64)], axis=1)
    ends = np.cumsum(length)

    def per_token(pieces: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(pieces.ravel(), length)

    first = np.take_along_axis(start, column, axis=1).ravel()
    source = np.arange(ends[-1]) + per_token(first - ends + length)
    special, ids = per_token(constant), per_token(tables.id[layout])
    text = np.flatnonzero(~special)
    word_start = special.copy()
    ids[text], word_start[text] = side.tokens[source[text]], side.starts(source[text])
    return Ragged(
        ids=ids,
        offsets=np.concatenate([[0], ends.reshape(column.shape)[:, -1]]),
        segment=per_token(tables.segment[layout]) if tables.segment.any() else None,
        loss=per_token(tables.loss[layout]),
        special=special,
        word_start=word_start,
        prefix=per_token(tables.prefix[layout]) if tables.prefix.any() else None,
        which=which,
    )


def gather_sides(store: TokenStore, instances: Instances, which: Ints) -> dict[str, Ragged]:
    """Write instances out for every side of the model.

    Args:
        store: holds the tokens.
        instances: all instances.
        which: as for `gather`.
    """
    return {
        name: gather(store.sides[view.side], view, which)
        for name, view in instances.views().items()
        if view.side is not None
    }


def _piece_lengths(length: NDArray[np.int32], column: Ints, constant: Bools) -> Ints:
    """[n * P] tokens of each piece."""
    one_none = np.zeros((len(length), 2), np.int32)
    one_none[:, 0] = 1
    pieces = np.take_along_axis(np.concatenate([length, one_none], axis=1), column, axis=1)
    return np.where(constant, np.minimum(pieces, 1), pieces).ravel().astype(np.int64)
