"""Classification of texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch

from uer.batch import Batch
from uer.data.table import Table, read_table
from uer.errors import DataError
from uer.files import atomic_file
from uer.model import Model
from uer.targets.cls import Classification
from uer.tasks.base import Examples, Task


class Classifier(Task):
    """Reads tables with ``text_a``[, ``text_b``] and ``label``; writes tables with ``label``."""

    target: ClassVar[str] = "cls"
    processor: ClassVar[str] = "cls"
    best_by: ClassVar[str] = "cls.accuracy"

    def __init__(
        self,
        *,
        output_logits: Annotated[bool, "predictions carry the scores before softmax"] = False,
        output_prob: Annotated[bool, "predictions carry the probabilities of the classes"] = False,
    ) -> None:
        self.output_logits, self.output_prob = output_logits, output_prob

    def read(self, path: str | Path, facts: Mapping[str, Any], *, labelled: bool) -> Examples:
        """See `Task.read`."""
        table = read_table(path, ["text_a", "label"] if labelled else ["text_a"])
        texts = [[text] for text in table.column("text_a")]
        if "text_b" in table:
            texts = [[*a, b] for a, b in zip(texts, table.column("text_b"), strict=True)]
        if not labelled:
            return Examples(texts)
        labels = table.integers("label", below=facts.get("labels_num"))
        if "labels_num" not in facts:
            require_dense(labels, table)
        return Examples(texts, {"label": np.array(labels, np.int64)})

    def facts(self, examples: Examples) -> dict[str, Any]:
        """The number of classes."""
        return {"labels_num": int(examples.columns["label"].max()) + 1}

    def predict(self, model: Model, batch: Batch) -> torch.Tensor:
        """[D, C] logits."""
        head = model.heads[self.target]
        assert isinstance(head, Classification)
        return head.logits(model.states(batch, [head])).float()

    def write(self, outputs: torch.Tensor, path: str | Path) -> None:
        """A table with ``label``[, ``logits``][, ``prob``]; several values with blanks between.

        Of a row that could not be read all fields are empty.
        """
        read = ~outputs.isnan().any(-1)
        columns = {"label": [str(label) for label in outputs.argmax(-1).tolist()]}
        if self.output_logits:
            columns["logits"] = _joined(outputs)
        if self.output_prob:
            columns["prob"] = _joined(outputs.softmax(-1))
        columns = {
            name: [cell if there else "" for cell, there in zip(cells, read.tolist(), strict=True)]
            for name, cells in columns.items()
        }
        lines = ["\t".join(columns), *map("\t".join, zip(*columns.values(), strict=True))]
        with atomic_file(path) as scratch:
            scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def summary(self, outputs: torch.Tensor, examples: Examples) -> list[str]:
        """Precision, recall and F1 of each class, and the accuracy."""
        truth, read = torch.as_tensor(examples.columns["label"]), ~outputs.isnan().any(-1)
        truth, outputs = truth[read], outputs[read]
        if truth.ndim == 2:  # of soft labels the largest counts
            truth = truth.argmax(-1)
        predicted, classes = outputs.argmax(-1), outputs.shape[-1]
        table = torch.bincount(truth * classes + predicted, minlength=classes**2)
        confusion = table.reshape(classes, classes).double()  # [truth, predicted]
        hits = confusion.diag()
        precision = hits / confusion.sum(0).clamp(min=1)
        recall = hits / confusion.sum(1).clamp(min=1)
        f1 = 2 * hits / (confusion.sum(0) + confusion.sum(1)).clamp(min=1)
        lines = [
            f"label {c}: precision {precision[c]:.3f}, recall {recall[c]:.3f}, F1 {f1[c]:.3f}"
            for c in range(classes)
        ]
        right, rows = int(hits.sum()), len(truth)
        return [*lines, f"accuracy {right / rows:.4f} ({right}/{rows})"]


def _joined(values: torch.Tensor) -> list[str]:
    return [" ".join(f"{value:.6g}" for value in row) for row in values.tolist()]


def require_dense(labels: list[int], table: Table) -> None:
    """Every class from 0 to the highest has a row; a gap is most likely a mistake."""
    missing = sorted(set(range(min(max(labels), 10_000))) - set(labels))
    if missing:
        raise DataError(
            f"the labels go up to {max(labels)}, but no row has the label {missing[0]}; number the "
            "classes 0, 1, 2, … without a gap.",
            table.path,
        )
