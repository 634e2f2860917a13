"""Endless, resumable streams of batches, and single ordered passes.

A stream deals out *items*: rows of packed instances (`TextStream`) or whole batches of similar
lengths (`BucketStream`). The order of items is a function of the seed alone; a step takes the next
ones for all ranks and each rank makes a batch of its share. So any number of ranks reads the same
items in the same order, a position is three integers, and going back to it is exact.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple, get_args

import numpy as np

from uer.batch import Batch
from uer.data.collate import Rows, collate
from uer.data.formats import FORMATS
from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import Unread
from uer.data.media.report import MediaReport
from uer.data.packing import WINDOW, Packing, plan_sides
from uer.data.randomness import Draw
from uer.data.shuffle import permute
from uer.errors import ConfigError, DataError
from uer.processors.base import Prepared, Processor, Read


class Epoch(NamedTuple):
    """One pass over the data.

    Args:
        draw: its randomness.
        instances: all of them.
        lengths: by side: int64 [N] tokens that the model sees of each.
    """

    draw: Draw
    instances: Instances
    lengths: dict[str, Ints]

    @property
    def size(self) -> int:
        """N, how many instances there are."""
        return len(self.instances)


class Numbered(NamedTuple):
    """A batch of an ordered pass.

    Args:
        batch: the batch.
        numbers: int64 [D] which instance each of its documents is; empty where the rank has none
            left and the batch is a filler without labels.
        unread: images or sounds that could not be read.
    """

    batch: Batch
    numbers: Ints
    unread: list[Unread]


class _Place(NamedTuple):
    """The next item: its epoch, its window of the epoch, its number in the window."""

    epoch: int
    window: int
    item: int


class Dealt(NamedTuple):
    """An item (numbers of instances) with its epoch."""

    epoch: Epoch
    item: Ints


class Share(NamedTuple):
    """What one rank makes a batch of.

    Args:
        items: one at least.
        ordered: they belong to an ordered pass.
        labelled: False: the item is a filler, for a rank that has none left.
    """

    items: list[Dealt]
    ordered: bool = False
    labelled: bool = True


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


class TextStream(Stream):
    """Packed rows, for pre-training.

    Rows of the target side hold at most the processor's `tgt_seq_length` and are as long as the
    longest of the batch, since corruption makes targets of any length.

    Args:
        store: the tokenised corpus.
        processor: makes instances of it.
        batch_size: rows of a batch and rank.
        seq_length: tokens of a row.
        packing: ``documents``: instances that share a row do not see each other; ``joined``: they
            do, and positions run on; ``off``: each has its own row, as long as the longest of the
            batch.
        seed: of everything random.
        rank: which of the processes this is.
        world: how many there are.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(
        self,
        store: TokenStore,
        processor: Processor,
        *,
        batch_size: int,
        seq_length: int,
        packing: Packing,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        rules = [
            (batch_size < 1, f"batch_size: {batch_size} is not positive."),
            (
                packing not in get_args(Packing),
                f"packing: '{packing}' is none of {', '.join(get_args(Packing))}.",
            ),
            (
                processor.seq_length > seq_length,
                f"seq_length: rows of {seq_length} tokens cannot hold the processor's instances "
                f"of up to {processor.seq_length}.",
            ),
        ]
        if problems := [sentence for broken, sentence in rules if broken]:
            raise ConfigError(problems)
        super().__init__(store, processor, share=batch_size, seed=seed, rank=rank, world=world)
        self.seq_length = seq_length
        self.packing: Packing = packing

    def _windows(self, epoch: Epoch) -> int:
        return -(-epoch.size // WINDOW)

    def _window(self, epoch: Epoch, number: int, shuffled: bool) -> list[Ints]:
        size = epoch.size
        which = np.arange(number * WINDOW, min((number + 1) * WINDOW, size))
        if shuffled:
            which = permute(which, size, epoch.draw.key("shuffle"))
        if self.packing == "off":
            return list(which[:, None])
        lengths = {side: of_all[which] for side, of_all in epoch.lengths.items()}
        capacities = {side: self._capacity(side) for side in lengths}
        rows = [which[row] for row in plan_sides(lengths, capacities)]
        return _shuffled(rows, epoch.draw.key(f"rows {number}")) if shuffled else rows

    def _rows(self, items: list[Ints]) -> Rows:
        widths = {} if self.packing == "off" else {"src": self.seq_length}
        return Rows(np.array([len(item) for item in items]), widths, self.packing)

    def _capacity(self, side: str) -> int:
        if not side.startswith("tgt"):
            return self.seq_length
        assert self.processor.tgt_seq_length is not None, "the target side has no length"
        return self.processor.tgt_seq_length


class BucketStream(Stream):
    """Batches of instances of similar length, for fine-tuning and inference.

    All instances of an epoch are sorted by length (of all sides together), in a new random order
    among equals, and cut into batches; the batches come in random order. `once` goes from the
    longest to the shortest, so that a batch too big for the memory shows at once.

    Args:
        store: the tokenised rows.
        processor: makes instances of them.
        batch_size: rows of a batch.
        batch_tokens: instead of it, tokens of a batch, padding included; an instance that is
            longer has a batch of its own.
        seed: of everything random.
        rank: which of the processes this is.
        world: how many there are.

    Raises:
        ConfigError: not exactly one of the two sizes is given, or it is not positive.
    """

    def __init__(
        self,
        store: TokenStore,
        processor: Processor,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if (batch_size is None) == (batch_tokens is None):
            raise ConfigError(["give either batch_size (rows) or batch_tokens, not both or none."])
        for name, size in (("batch_size", batch_size), ("batch_tokens", batch_tokens)):
            if size is not None and size < 1:
                raise ConfigError([f"{name}: {size} is not positive."])
        super().__init__(store, processor, share=1, seed=seed, rank=rank, world=world)
        self.batch_size, self.batch_tokens = batch_size, batch_tokens

    def _windows(self, epoch: Epoch) -> int:
        return 1

    def _window(self, epoch: Epoch, number: int, shuffled: bool) -> list[Ints]:
        size, sides = epoch.size, np.stack(list(epoch.lengths.values()), axis=1)
        which = np.arange(size)
        if shuffled:
            which = permute(which, size, epoch.draw.key("shuffle"))
        which = which[np.argsort(-sides[which].sum(axis=1), kind="stable")]
        cuts = self._cuts(sides[which])
        batches = [which[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        return _shuffled(batches, epoch.draw.key("batches")) if shuffled else batches

    def _cuts(self, lengths: Ints) -> list[int]:
        """Where batches end, the last end left out.

        Args:
            lengths: [n, sides] of the instances, their sums descending.
        """
        if self.batch_size is not None:
            return list(range(self.batch_size, len(lengths), self.batch_size))
        assert self.batch_tokens is not None
        cuts, start = [], 0
        while True:
            # Every side is padded to its own longest, so sums alone would promise too much.
            most = max(1, self.batch_tokens // int(lengths[start].sum()))
            widths = np.maximum.accumulate(lengths[start : start + most], axis=0).sum(axis=1)
            fitting = np.count_nonzero(np.arange(1, len(widths) + 1) * widths <= self.batch_tokens)
            start += max(1, int(fitting))
            if start >= len(lengths):
                return cuts
            cuts.append(start)

    def _rows(self, items: list[Ints]) -> Rows:
        return Rows(np.ones(sum(map(len, items)), np.int64), {}, "off")


def _left(items: list[Ints], numbers: Ints, ordered: bool) -> list[Ints]:
    """The items without the instances that an ordered pass left out; one, if it left out all."""
    if not ordered or len(numbers) == sum(map(len, items)):
        return items
    left = [item[np.isin(item, numbers)] for item in items]
    return [item for item in left if len(item)] or [items[0][:1]]


def _shuffled(items: list[Ints], key: int) -> list[Ints]:
    order = permute(np.arange(len(items)), len(items), key)
    return [items[number] for number in order]
