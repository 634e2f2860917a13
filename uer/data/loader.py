"""Batches made in other processes, in the same order and with the same content.

Decoding images and sounds takes longer than everything else a batch needs, so it is worth workers.
The stream deals in this process what a batch is made of; a worker, which has the same stream over
the same data, makes the batch. Batches come back in order through shared memory, and a position is
that of the next batch to be handed out, however many are under way.
"""

from __future__ import annotations

import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from uer.batch import Batch
from uer.data.instances import Ints, TokenStore
from uer.data.media.report import MediaReport
from uer.data.share import Dealt, Epoch, Numbered, Share
from uer.data.stream import Stream
from uer.data.workers import Pool
from uer.errors import ConfigError
from uer.registry import load_plugin

_WAY_OUT = (
    "go on from the last checkpoint (--resume_from_checkpoint) with fewer --loader_workers, or "
    "with a smaller --batch_size."
)


class Work(NamedTuple):
    """A share in numbers, for a process that makes the epochs itself.

    Args:
        items: the epoch of each item and its instances.
        ordered: as in `Share`.
        labelled: as in `Share`.
    """

    items: list[tuple[int, Ints]]
    ordered: bool
    labelled: bool


class Loader:
    """A stream whose batches workers make; see `Stream` for its methods.

    Args:
        stream: deals what the batches are made of.
        workers: how many processes make them.

    Raises:
        ConfigError: there is not at least one.
    """

    def __init__(self, stream: Stream, workers: int) -> None:
        if workers < 1:
            raise ConfigError([f"loader_workers: {workers} is not positive."])
        self.stream = stream
        self._pool: Pool[Work, Numbered] = Pool(_Sent.of(stream).maker(), workers, way_out=_WAY_OUT)
        self._position = stream.position()
        self._ahead: deque[dict[str, int]] = deque()
        self._batches: Iterator[Numbered] | None = None

    @property
    def store(self) -> TokenStore:
        """The data."""
        return self.stream.store

    @property
    def media_report(self) -> MediaReport:
        """What could not be read so far."""
        return self.stream.media_report

    def next(self) -> Batch:
        """See `Stream.next`.

        Raises:
            UserError: a worker was killed.
        """
        if self._batches is None:
            self._batches = self._pool.map(self._dealing())
        made = next(self._batches)
        self._position = self._ahead.popleft()
        self.media_report.add(made.unread)
        return made.batch

    def position(self) -> dict[str, int]:
        """See `Stream.position`."""
        return self._position

    def seek(self, position: dict[str, int]) -> None:
        """See `Stream.seek`."""
        self._batches = None
        self._ahead.clear()
        self.stream.seek(position)
        self._position = self.stream.position()

    def instances(self, position: dict[str, int]) -> dict[int, list[int]]:
        """See `Stream.instances`."""
        return self.stream.instances(position)

    def once(self) -> Iterator[Batch]:
        """See `Stream.once`."""
        return (numbered.batch for numbered in self.numbered())

    def numbered(self) -> Iterator[Numbered]:
        """See `Stream.numbered`."""
        for made in self._pool.map(map(_in_numbers, self.stream.shares())):
            self.media_report.add(made.unread)
            yield self.stream.by_document(made)

    def count(self, epochs: int) -> int:
        """See `Stream.count`."""
        return self.stream.count(epochs)

    def tokens(self) -> int:
        """See `Stream.tokens`."""
        return self.stream.tokens()

    def report(self) -> dict[str, float]:
        """See `Stream.report`."""
        return self.stream.report()

    def pids(self) -> list[int]:
        """The workers' process numbers; none before the first batch."""
        return self._pool.pids()

    def close(self) -> None:
        """End the workers."""
        self._batches = None
        self._pool.close()

    def _dealing(self) -> Iterator[Work]:
        """What the next batches are made of, and behind each where the stream stands then."""
        while True:
            share = self.stream.deal()
            self._ahead.append(self.stream.position())
            yield _in_numbers(share)


def loaded(stream: Stream, workers: int) -> Stream | Loader:
    """The stream, with workers if there are to be any."""
    return Loader(stream, workers) if workers else stream


def _in_numbers(share: Share) -> Work:
    items = [(dealt.epoch.draw.epoch, dealt.item) for dealt in share.items]
    return Work(items, share.ordered, share.labelled)


@dataclass(frozen=True)
class _Sent:
    """A stream on its way to another process.

    Args:
        content: the stream, pickled.
        plugins: files that define parts of it; they must be loaded first.
    """

    content: bytes
    plugins: list[str]

    @staticmethod
    def of(stream: Stream) -> _Sent:
        modules = [m for name, m in sys.modules.items() if name.startswith("uer_plugin_")]
        return _Sent(pickle.dumps(stream), [str(m.__file__) for m in modules])

    def maker(self) -> Callable[[], Callable[[Work], Numbered]]:
        """Makes, in a worker, the function that makes batches."""
        return partial(_make, self)


def _make(sent: _Sent) -> Callable[[Work], Numbered]:
    torch.set_num_threads(1)
    for plugin in sent.plugins:
        load_plugin(plugin)
    return _Maker(pickle.loads(sent.content))


class _Maker:
    """Makes batches in a worker; keeps the epochs that the last ones were of."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._epochs: dict[int, Epoch] = {}

    def __call__(self, work: Work) -> Numbered:
        items = [Dealt(self._epoch(number), item) for number, item in work.items]
        return self._stream.batch(Share(items, work.ordered, work.labelled))

    def _epoch(self, number: int) -> Epoch:
        if number not in self._epochs:
            # A batch may span two epochs, never three.
            kept = {n: e for n, e in self._epochs.items() if n == number - 1}
            self._epochs = {**kept, number: self._stream.epoch(number)}
        return self._epochs[number]
