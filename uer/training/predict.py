"""Running a trained model over rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from uer.data.instances import TokenStore
from uer.data.share import Numbered
from uer.model import Model
from uer.tasks.base import Task, join_rows


class NumberedData(Protocol):
    """An ordered pass whose results can be put into input order."""

    @property
    def store(self) -> TokenStore:
        """The rows."""
        ...

    def numbered(self) -> Iterator[Numbered]:
        """See `Stream.numbered`."""
        ...


def predict(task: Task, model: Model, data: NumberedData) -> torch.Tensor:
    """The task's raw output for every row of a store, in the order of the rows.

    Args:
        task: reads the output off the model.
        model: the trained model; it is put into evaluation mode.
        data: the rows in batches, best a `BucketStream`: rows of similar length share a batch, so
            that little is computed on padding.

    Returns:
        [rows, …] on the CPU; rows that could not be read are not numbers.
    """
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        made = [
            (task.predict(model, numbered.batch.to(device)).cpu(), numbered.numbers)
            for numbered in data.numbered()
        ]
    return join_rows(made, len(data.store))
