"""Running a trained model over rows."""

from __future__ import annotations

import torch

from uer.data.instances import TokenStore
from uer.data.stream import BucketStream
from uer.model import Model
from uer.processors.base import Processor
from uer.tasks.base import Task, join_rows


def predict(
    task: Task, model: Model, store: TokenStore, processor: Processor, *, batch_size: int
) -> torch.Tensor:
    """The task's raw output for every row of a store, in the order of the rows.

    Rows of similar length share a batch, so that little is computed on padding.

    Args:
        task: reads the output off the model.
        model: the trained model; it is put into evaluation mode.
        store: the rows.
        processor: makes instances of them.
        batch_size: rows of a batch.

    Returns:
        [rows, …] on the CPU.
    """
    model.eval()
    device = next(model.parameters()).device
    stream = BucketStream(store, processor, batch_size=batch_size, seed=0)
    with torch.inference_mode():
        made = [
            (task.predict(model, numbered.batch.to(device)).cpu(), numbered.numbers)
            for numbered in stream.numbered()
        ]
    return join_rows(made, len(store))
