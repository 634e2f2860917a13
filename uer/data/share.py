"""What a stream deals out, and the batch that is made of it."""

from __future__ import annotations

from typing import NamedTuple

from uer.batch import Batch
from uer.data.instances import Instances, Ints
from uer.data.media.references import Unread
from uer.data.randomness import Draw


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
