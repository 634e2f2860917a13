"""Training instances as spans of the token store, for all of them in a few arrays.

An instance is a list of pieces: constant ids ([CLS], [SEP], …) and spans of the store. Instances of
one kind share the list, the *layout*; each holds only where its spans start and how long they are,
about 30 bytes for a pair of sentences. Tokens are copied when a batch is made, never before
(`uer.data.ragged`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import MediaColumn

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


class TokenSide(Protocol):
    """One stream of tokens of a store."""

    @property
    def tokens(self) -> NDArray[Any]:
        """[T] all ids, one after the other."""
        ...

    @property
    def sentences(self) -> NDArray[Any]:
        """[S+1] where each sentence starts in the tokens."""
        ...

    @property
    def documents(self) -> NDArray[Any]:
        """[D+1] where each document starts in the sentences."""
        ...

    def starts(self, indices: Ints, /) -> Bools:
        """Whether a word starts at each of these tokens."""
        ...


class TokenStore(Protocol):
    """What is asked of a store here; its length is its number of documents, D."""

    @property
    def sides(self) -> Mapping[str, TokenSide]:
        """Streams of tokens by name, ``src`` first of all."""
        ...

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """A value per document by name: [D] or [D, C]."""
        ...

    @property
    def media(self) -> Mapping[str, MediaColumn]:
        """An image or a sound per document by name."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Constant:
    """One id that stands in every instance of a layout.

    Args:
        id: the token.
        segment: segment type.
        only_if: number of a span; without tokens in it the constant is left out, too.
        loss: an objective may predict it.
        prefix: every token of the instance may see it.
    """

    id: int
    segment: int = 0
    only_if: int | None = None
    loss: bool = False
    prefix: bool = False


@dataclass(frozen=True)
class Span:
    """A stretch of the store, possibly empty.

    Args:
        number: which of the instance's spans, from 0.
        segment: segment type.
        loss: an objective may predict its tokens.
        prefix: every token of the instance may see it.
    """

    number: int
    segment: int = 0
    loss: bool = True
    prefix: bool = False


Layout: TypeAlias = tuple[Constant | Span, ...]


@dataclass(frozen=True, eq=False)
class Instances:
    """All instances of an epoch. Instance i is row i of every array.

    Args:
        layouts: the lists of pieces in use.
        layout: uint8 [N] which of them.
        start: int64 [N, K] first token of each span.
        length: int32 [N, K] its tokens.
        fields: further facts by name, [N, …] each.
        side: the side of the store that the spans lie in; None: they have no tokens.
        beside: what further sides of the model read, by their names (``tgt``), instance by
            instance the same N; these have nothing beside them.
        offsets: int64 [S+1] where the sentences start that the instances were made of, for
            processors that move or select them; None where nobody asks.
        media: by media column of the store: int64 [N] the document whose medium is read.
    """

    layouts: tuple[Layout, ...]
    layout: NDArray[np.uint8]
    start: Ints
    length: NDArray[np.int32]
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    side: str | None = "src"
    beside: Mapping[str, Instances] = field(default_factory=dict)
    offsets: Ints | None = None
    media: Mapping[str, Ints] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.layout)

    @staticmethod
    def without_tokens(
        media: Mapping[str, Ints], fields: Mapping[str, NDArray[Any]] | None = None
    ) -> Instances:
        """Instances that are images or sounds alone; arguments as for the class."""
        size = len(next(iter(media.values())))
        return Instances(
            ((),),
            np.zeros(size, np.uint8),
            np.zeros((size, 0), np.int64),
            np.zeros((size, 0), np.int32),
            fields or {},
            side=None,
            media=media,
        )

    def views(self) -> dict[str, Instances]:
        """What each side of the model reads; ``src`` reads these themselves, or has no tokens."""
        return {**({} if self.side is None else {"src": self}), **self.beside}

    def lengths(self) -> Ints:
        """[N] tokens of each instance, constants included."""
        total = np.zeros(len(self), np.int64)
        for number, pieces in enumerate(self.layouts):
            rows = slice(None) if len(self.layouts) == 1 else self.layout == number
            length = self.length[rows]
            constants = sum(isinstance(p, Constant) and p.only_if is None for p in pieces)
            spans = [p.number for p in pieces if isinstance(p, Span)]
            total[rows] = constants + length[:, spans].sum(axis=1, dtype=np.int64)
            for piece in pieces:
                if isinstance(piece, Constant) and piece.only_if is not None:
                    total[rows] += length[:, piece.only_if] > 0
        return total

    @cached_property
    def tables(self) -> _Tables:
        """The layouts as arrays [layouts, P], one column per piece."""
        return _Tables.of(self.layouts, self.start.shape[1])


@dataclass(frozen=True, eq=False)
class _Tables:
    """Layouts as arrays. ``column`` says which span a piece (or its condition) refers to; two
    columns are appended to the spans: K, always one token long, and K + 1, always empty.
    """

    column: Ints
    constant: Bools
    id: Ints
    segment: NDArray[np.uint8]
    loss: Bools
    prefix: Bools

    @staticmethod
    def of(layouts: Sequence[Layout], spans: int) -> _Tables:
        shape = (len(layouts), max(map(len, layouts)))
        table = _Tables(
            column=np.full(shape, spans + 1, np.int64),
            constant=np.ones(shape, np.bool_),
            id=np.zeros(shape, np.int64),
            segment=np.zeros(shape, np.uint8),
            loss=np.zeros(shape, np.bool_),
            prefix=np.zeros(shape, np.bool_),
        )
        for row, pieces in enumerate(layouts):
            for at, piece in enumerate(pieces):
                place = (row, at)
                if isinstance(piece, Span):
                    table.column[place], table.constant[place] = piece.number, False
                else:
                    table.id[place] = piece.id
                    table.column[place] = spans if piece.only_if is None else piece.only_if
                table.segment[place] = piece.segment
                table.loss[place], table.prefix[place] = piece.loss, piece.prefix
        return table
