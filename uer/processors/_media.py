"""Processors that read images or sounds, with text or without.

A processor of this kind says in `index` which document's medium each instance reads
(`Instances.media`), in `decode` what becomes of the media of one instance, and in `assemble` what
becomes of the instances of a batch. Everything else is done here: an instance whose media cannot be
read never ends a run. In training the next one that can be read stands in its place; in an ordered
pass it is left out; both are named in the run's report. So a batch still depends on nothing but the
seed, the epoch and its instances.

Everything that makes a batch runs in the loader's workers, if there are any.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import MediaError, Medium, Unread
from uer.data.ragged import Ragged, gather_sides
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.processors.base import Prepared, Processor, Read, Rows

_HOPELESS = 1000  # so many unreadable media in a row end a run after all


class Decoded(NamedTuple):
    """The media of m instances, decoded.

    Args:
        which: int64 [m] the instances' numbers.
        arrays: what `MediaProcessor.decode` made, by field of the batch: [m, …], or lists of m.
        ordered: as for `Processor.read`.
    """

    which: Ints
    arrays: dict[str, Rows]
    ordered: bool


class MediaProcessor(Processor):
    """The common part of processors with images or sounds.

    Attributes:
        varying: fields that `decode` makes whose first dimension differs from instance to instance.
    """

    packable: ClassVar[bool] = False
    varying: ClassVar[frozenset[str]] = frozenset()
    pad_id: int = 0

    @abstractmethod
    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """Read the media of one instance.

        Args:
            media: by column of the store.
            draw: the epoch's randomness; whatever is random depends on it and the number alone.
            number: of the instance.
            ordered: as for `Processor.read`: nothing is augmented.

        Returns:
            By field of the batch (``src.image``), the row of this instance; bool, float32 or int64.

        Raises:
            MediaError: one of them cannot be read.
        """

    @abstractmethod
    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Corrupt some instances and make their labels; what was decoded goes into the arrays.

        Args:
            decoded: their media.
            gathered: the tokens of the same instances by side; empty where there is no text.
            draw: as for `Processor.prepare`.
            instances: as for `Processor.prepare`.
        """

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Never called: without the media there is nothing to prepare."""
        raise AssertionError(f"'{self.name}' reads media; call read")

    def read(
        self, store: TokenStore, instances: Instances, which: Ints, draw: Draw, *, ordered: bool
    ) -> Read:
        """See `Processor.read`."""
        unread: list[Unread] = []
        kept: list[int] = []
        rows: list[dict[str, NDArray[Any]]] = []
        for wanted in which.tolist():
            for number in self._candidates(wanted, len(instances), unread, ordered):
                made = self._decoded(store, instances, number, draw, ordered, unread)
                if made is not None:
                    kept.append(number)
                    rows.append(made)
                    break
        if not kept:  # of an ordered pass
            found = self.read(store, instances, which[:1], draw, ordered=False)
            return Read(found.prepared, which[:0], unread)
        numbers = np.array(kept, np.int64)
        arrays = {name: self._rows(name, [row[name] for row in rows]) for name in rows[0]}
        prepared = self.assemble(
            Decoded(numbers, arrays, ordered),
            gather_sides(store, instances, numbers),
            draw,
            instances,
        )
        return Read(prepared, numbers, unread)

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """See `Processor.report`; of tokens only where there are any."""
        found = super().report(instances, store)
        return found if store.sides else {"instances": found["instances"]}

    def _candidates(
        self, wanted: int, size: int, unread: list[Unread], ordered: bool
    ) -> Iterator[int]:
        """The instance that is wanted, then those that may stand in its place."""
        tries = 1 if ordered else min(size, _HOPELESS)
        yield from ((wanted + step) % size for step in range(tries))
        if not ordered:
            last = unread[-1]
            raise DataError(
                f"{tries:,} images or sounds in a row could not be read, the last of them "
                f"{last.name} ({last.reason}); check the data, and where it lies (--media_root)."
            )

    def _decoded(
        self,
        store: TokenStore,
        instances: Instances,
        number: int,
        draw: Draw,
        ordered: bool,
        unread: list[Unread],
    ) -> dict[str, NDArray[Any]] | None:
        """What becomes of one instance, or None: then the list says why."""
        media = {name: store.media[name][of[number]] for name, of in instances.media.items()}
        try:
            return self.decode(media, draw, number, ordered=ordered)
        except MediaError as error:
            name = " + ".join(one.name for one in media.values())
            unread.append(Unread(name, error.reason, error.detail))
            return None

    def _rows(self, name: str, rows: list[NDArray[Any]]) -> Rows:
        return rows if name in self.varying else np.stack(rows)


def require_media(store: TokenStore, name: str, processor: str) -> None:
    """Refuse a store without the media that a processor reads.

    Raises:
        DataError: it has no such column.
    """
    if name not in store.media:
        have = ", ".join(store.media) or "none"
        raise DataError(
            f"the processor '{processor}' reads {name}s, and the data have none (their media: "
            f"{have}); preprocess a corpus with {name}s for it."
        )
