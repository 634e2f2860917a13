"""Streams of batches of similar lengths, for fine-tuning and inference."""

from __future__ import annotations

import numpy as np

from uer.data.collate import Rows
from uer.data.instances import Ints, TokenStore
from uer.data.share import Epoch
from uer.data.shuffle import permute, permuted
from uer.data.stream import Stream
from uer.errors import ConfigError
from uer.processors.base import Processor


class BucketStream(Stream):
    """Batches of instances of similar length.

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
        return permuted(batches, epoch.draw.key("batches")) if shuffled else batches

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
