"""Streams of packed rows, for pre-training."""

from __future__ import annotations

from typing import get_args

import numpy as np

from uer.data.collate import Rows
from uer.data.instances import Ints, TokenStore
from uer.data.packing import WINDOW, Packing, plan_sides
from uer.data.share import Epoch
from uer.data.shuffle import permute, permuted
from uer.data.stream import Stream
from uer.errors import ConfigError
from uer.processors.base import Processor


class TextStream(Stream):
    """Packed rows.

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
        return permuted(rows, epoch.draw.key(f"rows {number}")) if shuffled else rows

    def _rows(self, items: list[Ints]) -> Rows:
        widths = {} if self.packing == "off" else {"src": self.seq_length}
        return Rows(np.array([len(item) for item in items]), widths, self.packing)

    def _capacity(self, side: str) -> int:
        if not side.startswith("tgt"):
            return self.seq_length
        assert self.processor.tgt_seq_length is not None, "the target side has no length"
        return self.processor.tgt_seq_length
