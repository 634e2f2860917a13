"""What a task promises: rows of a file become instances, a target's output becomes predictions.

Everything between (model, batches, training loop, checkpoints) is the same for all tasks and for
pre-training. Heads are targets; a task only names one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from uer.batch import Batch
from uer.data.media.references import MediaColumn
from uer.errors import DataError
from uer.model import Model
from uer.registry import Registry


@dataclass(frozen=True)
class Examples:
    """The rows of a file.

    Args:
        texts: the texts of each row, in the order of the model's input; empty where rows are
            images or sounds alone.
        columns: labels and further figures of the rows, by name.
        media: images or sounds of the rows, by name.
    """

    texts: list[list[str]]
    columns: dict[str, Any] = field(default_factory=dict)
    media: dict[str, MediaColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.media.values()), self.texts))


class Task(ABC):
    """Something a trained model is used for.

    Attributes:
        target: the head, a name of the target registry.
        processor: makes instances of the rows, a name of the processor registry.
        best_by: the figure of the evaluation that decides which checkpoint is kept.
        highest: the best is the highest.
    """

    target: ClassVar[str]
    processor: ClassVar[str]
    best_by: ClassVar[str]
    highest: ClassVar[bool] = True

    @abstractmethod
    def read(self, path: str | Path, facts: Mapping[str, Any], *, labelled: bool) -> Examples:
        """Read a file of rows.

        Args:
            path: the file.
            facts: what is known of the labels; empty for the training file.
            labelled: the rows carry labels.

        Raises:
            DataError: the file is not of the task's format, or a label is out of range.
        """

    @abstractmethod
    def facts(self, examples: Examples) -> dict[str, Any]:
        """What the training rows tell about the labels, e.g. ``labels_num``."""

    @abstractmethod
    def predict(self, model: Model, batch: Batch) -> torch.Tensor:
        """[D, …] raw output for the D documents of a batch."""

    @abstractmethod
    def write(self, outputs: torch.Tensor, path: str | Path) -> None:
        """Write predictions, one line per row, in the order of the input.

        Args:
            outputs: [rows, …] of `predict`; not numbers for rows that could not be read.
            path: the prediction file.
        """

    @abstractmethod
    def summary(self, outputs: torch.Tensor, examples: Examples) -> list[str]:
        """Lines that say how good predictions are; the examples carry labels.

        Args:
            outputs: as for `write`; rows that could not be read do not count.
            examples: the rows.
        """


def join_rows(batches: Sequence[tuple[torch.Tensor, NDArray[np.int64]]], rows: int) -> torch.Tensor:
    """Outputs of batches, put into the order of the input.

    Args:
        batches: outputs [D, …] with the numbers of their rows.
        rows: how many there are in all.

    Returns:
        [rows, …]; rows without an output, whose image or sound could not be read, are not numbers.

    Raises:
        DataError: no row has an output.
    """
    batches = [(made, which) for made, which in batches if len(which)]
    if not batches:
        raise DataError("none of the rows could be read; the lines above name the reasons.")
    numbers = torch.cat([torch.as_tensor(which) for _, which in batches])
    outputs = torch.cat([made for made, _ in batches])
    ordered = outputs.new_full((rows, *outputs.shape[1:]), float("nan"))
    ordered[numbers] = outputs
    return ordered


tasks: Registry[Task] = Registry("task", Task, "uer.tasks")
