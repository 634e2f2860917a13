"""What a target returns: sums, never means.

The trainer knows every target's weight *before* the first backward pass of an update
(`Target.weight`), adds it over micro-batches and ranks, and back-propagates
``loss_sum * loss_weight / total_weight``. Sums are what makes gradient accumulation, several ranks
and rows of unequal length give exactly the gradient of one big batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Ratio(NamedTuple):
    """A metric as numerator and denominator, so that it can be added over batches and ranks.

    Args:
        total: [] sum over the items, on the device of the model.
        weight: [] how many items (or how much weight).
    """

    total: torch.Tensor
    weight: torch.Tensor


class Score(NamedTuple):
    """The result of one target on one batch.

    Args:
        loss_sum: [] loss summed over the target's items; an exact zero that is connected to the
            parameters when the batch has no item.
        metrics: further figures by name, e.g. ``{"accuracy": Ratio(correct, predicted)}``.
    """

    loss_sum: torch.Tensor
    metrics: dict[str, Ratio]
