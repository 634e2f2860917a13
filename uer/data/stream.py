"""Endless, resumable streams of batches, and single ordered passes.

A stream deals out *items*: rows of packed instances (`uer.data.text_stream`) or whole batches of
similar lengths (`uer.data.bucket_stream`). The order of items is a function of the seed alone; a
step takes the next ones for all ranks and each rank makes a batch of its share. So any number of
ranks reads the same items in the same order, a position is three integers, and going back to it is
exact.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from uer.batch import Batch
from uer.data.collate import Rows, collate
from uer.data.formats import FORMATS
from uer.data.instances import Ints, TokenStore
from uer.data.media.report import MediaReport
from uer.data.randomness import Draw
from uer.data.share import Dealt, Epoch, Numbered, Share
from uer.errors import DataError
from uer.processors.base import Prepared, Processor, Read


class _Place(NamedTuple):
    """The next item: its epoch, its window of the epoch, its number in the window."""

    epoch: int
    window: int
    item: int


class Stream(ABC):
    """What the streams share.

    Args:
        store: the tokenised data.
        processor: makes instances of it.
        share: items of one step and rank.
        seed: of everything random.
        rank: which of the processes this is.
        world: how many there are.

    Attributes:
        media_report: what could not be read so far.
    """

    def __init__(
        self,
        store: TokenStore,
        processor: Processor,
        *,
        share: int,
        seed: int,
        rank: int,
        world: int,
    ) -> None:
        assert 0 <= rank < world
        self.store, self.processor, self.seed = store, processor, seed
        self._share, self._rank, self._world = share, rank, world
        self._place = _Place(0, 0, 0)
        self._epoch: Epoch | None = None
        self._items: list[Ints] | None = None
        self.media_report = MediaReport()
        self._noted = False

    def __getstate__(self) -> dict[str, Any]:
        """Another process lays the instances out itself."""
        return {**vars(self), "_epoch": None, "_items": None}

    @abstractmethod
    def _windows(self, epoch: Epoch) -> int:
        """How many windows of items an epoch has."""

    @abstractmethod
    def _window(self, epoch: Epoch, number: int, shuffled: bool) -> list[Ints]:
        """The items of a window, never empty."""

    @abstractmethod
    def _rows(self, items: list[Ints]) -> Rows:
        """How the instances of these items lie in a batch."""

    def next(self) -> Batch:
        """The next batch of this rank; there is always one."""
        made = self.batch(self.deal())
        self.media_report.add(made.unread)
        return made.batch

    def deal(self) -> Share:
        """What this rank makes its next batch of; moves on by one step."""
        self._note_left_out()
        dealt = [self._deal() for _ in range(self._share * self._world)]
        return Share(dealt[self._share * self._rank : self._share * (self._rank + 1)])

    def position(self) -> dict[str, int]:
        """Where the stream stands and in which data, the same on all ranks; for `seek`."""
        return {**self._place._asdict(), **self._data()}

    def seek(self, position: dict[str, int]) -> None:
        """Continue from a position, exactly as if the stream had never stopped.

        Raises:
            DataError: the position is not of such a stream over these data.
        """
        needed = (*_Place._fields, *self._data())
        if position.keys() != set(needed) or min(position.values()) < 0:
            raise DataError(
                f"{position} is no position of a data stream; it needs {', '.join(needed)}."
            )
        if any(position[name] != size for name, size in self._data().items()):
            raise DataError(
                f"the run was on data of {position['documents']:,} documents with "
                f"{position['tokens']:,} tokens, here are {len(self.store):,} with "
                f"{self._data()['tokens']:,}; resume with its own data, or start from its weights "
                "with --pretrained_model_path."
            )
        place = _Place(*(position[name] for name in _Place._fields))
        epoch = self.epoch(place.epoch)
        if place.window < self._windows(epoch):
            items = self._window(epoch, place.window, shuffled=True)
            if place.item < len(items):
                self._place, self._epoch, self._items = place, epoch, items
                return
        raise DataError(
            f"the position {position} lies behind the end of the data; resume with the data, "
            "seed and data settings with which the run was started."
        )

    def _data(self) -> dict[str, int]:
        """What tells these data from others."""
        tokens = sum(len(side.tokens) for side in self.store.sides.values())
        return {"documents": len(self.store), "tokens": tokens}

    def instances(self, position: dict[str, int]) -> dict[int, list[int]]:
        """What this rank's batch at a position is made of: numbers of instances, by epoch.

        Instances with media have the numbers of their documents. `next` goes on undisturbed.
        """
        other, found = copy.copy(self), dict[int, list[int]]()
        other.seek(position)
        for epoch, item in other.deal().items:
            numbers = next((of[item] for of in epoch.instances.media.values()), item)
            found.setdefault(epoch.draw.epoch, []).extend(numbers.tolist())
        return found

    def once(self) -> Iterator[Batch]:
        """One pass over the first epoch's instances in a fixed order; `next` goes on undisturbed.

        All ranks get equally many batches. The last may be short; a rank for which no row is left
        gets one whose labels are empty. Instances that cannot be read are left out.
        """
        return (numbered.batch for numbered in self.numbered())

    def numbered(self) -> Iterator[Numbered]:
        """As `once`, with the instances' numbers, so that results can be put into input order.

        Instances with media have the numbers of their documents.
        """
        for share in self.shares():
            made = self.batch(share)
            self.media_report.add(made.unread)
            yield self.by_document(made)

    def by_document(self, made: Numbered) -> Numbered:
        """Of instances with media the numbers of their documents: some documents give none."""
        for of in self.epoch(0).instances.media.values():
            return made._replace(numbers=of[made.numbers])
        return made

    def shares(self) -> Iterator[Share]:
        """What this rank makes the batches of an ordered pass of."""
        self._note_left_out()
        epoch = self.epoch(0)
        dealt: list[Dealt] = []
        for window in range(self._windows(epoch)):
            dealt += [Dealt(epoch, item) for item in self._window(epoch, window, shuffled=False)]
            while len(dealt) >= self._share * self._world:
                yield self._shared(dealt[: self._share * self._world])
                del dealt[: self._share * self._world]
        if dealt:
            yield self._shared(dealt)

    def count(self, epochs: int) -> int:
        """How many batches of this rank hold the first ``epochs`` passes; plans all of them."""
        items = 0
        for number in range(epochs):
            epoch = self.epoch(number)
            windows = range(self._windows(epoch))
            items += sum(len(self._window(epoch, window, shuffled=True)) for window in windows)
        return -(-items // (self._share * self._world))

    def tokens(self) -> int:
        """Tokens of all sides that the model sees in the first epoch, in all ranks."""
        return sum(int(lengths.sum()) for lengths in self.epoch(0).lengths.values())

    def report(self) -> dict[str, float]:
        """The processor's figures about the current epoch."""
        return self.processor.report(self.epoch(self._place.epoch).instances, self.store)

    def epoch(self, number: int) -> Epoch:
        """An epoch; the present one is kept, so its index is computed once."""
        if self._epoch is not None and self._epoch.draw.epoch == number:
            return self._epoch
        draw = Draw(self.seed, number)
        instances = self.processor.index(self.store, draw)
        if not len(instances):
            raise DataError(
                f"the processor '{self.processor.name}' finds no instance in the data "
                f"({len(self.store)} documents); a corpus for it has "
                f"{FORMATS[self.processor.corpus].shape}. Check the corpus and preprocess it again."
            )
        epoch = Epoch(draw, instances, self.processor.lengths(instances))
        if number == self._place.epoch:
            self._epoch = epoch
        return epoch

    def _note_left_out(self) -> None:
        """Once, and in the process that deals only."""
        if not self._noted:
            self.media_report.add(self.processor.left_out(self.store))
            self._noted = True

    def _deal(self) -> Dealt:
        """The next item; moves on by one."""
        number, window, item = self._place
        if self._epoch is None:
            self._epoch = self.epoch(number)
        if self._items is None:
            self._items = self._window(self._epoch, window, shuffled=True)
        dealt = Dealt(self._epoch, self._items[item])
        self._place = _Place(number, window, item + 1)
        if item + 1 == len(self._items):
            self._items, self._place = None, _Place(number, window + 1, 0)
            if window + 1 == self._windows(self._epoch):
                self._epoch, self._place = None, _Place(number + 1, 0, 0)
        return dealt

    def _shared(self, dealt: list[Dealt]) -> Share:
        """This rank's share of a step; fewer items than usual are divided as evenly as possible."""
        total = len(dealt)
        mine = dealt[total * self._rank // self._world : total * (self._rank + 1) // self._world]
        return Share(mine or dealt[:1], ordered=True, labelled=bool(mine))

    def batch(self, share: Share) -> Numbered:
        """Make a batch; it depends on the share alone, so any process can do it."""
        made: list[Read] = []
        for _, group in groupby(share.items, key=lambda one: one.epoch.draw.epoch):
            of_epoch = list(group)
            draw, instances, _ = of_epoch[0].epoch
            which = np.concatenate([item for _, item in of_epoch])
            made.append(
                self.processor.read(self.store, instances, which, draw, ordered=share.ordered)
            )
        numbers = np.concatenate([read.which for read in made])
        labelled = share.labelled and len(numbers) > 0
        batch = collate(
            Prepared.join([read.prepared for read in made]),
            self._rows(_left([item for _, item in share.items], numbers, share.ordered)),
            pad_id=self.processor.pad_id,
            tgt_pad_id=self.processor.tgt_pad_id,
            labelled=labelled,
        )
        unread = [one for read in made for one in read.unread]
        return Numbered(batch, numbers if labelled else numbers[:0], unread)


def _left(items: list[Ints], numbers: Ints, ordered: bool) -> list[Ints]:
    """The items without the instances that an ordered pass left out; one, if it left out all."""
    if not ordered or len(numbers) == sum(map(len, items)):
        return items
    left = [item[np.isin(item, numbers)] for item in items]
    return [item for item in left if len(item)] or [items[0][:1]]
