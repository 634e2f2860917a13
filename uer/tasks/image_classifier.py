"""Classification of images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from uer.data.media.references import MediaColumn, Reference, real_path
from uer.data.table import Table, read_table
from uer.errors import DataError
from uer.tasks.base import Examples
from uer.tasks.classifier import Classifier, require_dense


class ImageClassifier(Classifier):
    """Reads tables with ``path`` and ``label``; writes tables with ``label``.

    Instead of ``label``, the column ``soft_label`` may hold the shares of all classes with blanks
    between.
    """

    processor: ClassVar[str] = "vit"

    def __init__(
        self,
        *,
        output_logits: Annotated[bool, "predictions carry the scores before softmax"] = False,
        output_prob: Annotated[bool, "predictions carry the probabilities of the classes"] = False,
        media_root: Annotated[
            str | None, "folder that the paths are relative to (default: the table's)"
        ] = None,
    ) -> None:
        super().__init__(output_logits=output_logits, output_prob=output_prob)
        self.media_root = media_root

    def read(self, path: str | Path, facts: Mapping[str, Any], *, labelled: bool) -> Examples:
        """See `Task.read`."""
        table = read_table(path, ["path"])
        media = {"image": self._images(table)}
        if not labelled:
            return Examples([], media=media)
        if "soft_label" in table:
            return Examples([], {"label": _shares(table, facts.get("labels_num"))}, media)
        if "label" not in table:
            read_table(path, ["label"])  # says so
        labels = table.integers("label", below=facts.get("labels_num"))
        if "labels_num" not in facts:
            require_dense(labels, table)
        return Examples([], {"label": np.array(labels, np.int64)}, media)

    def facts(self, examples: Examples) -> dict[str, Any]:
        """The number of classes."""
        label = examples.columns["label"]
        return {"labels_num": label.shape[1] if label.ndim == 2 else int(label.max()) + 1}

    def _images(self, table: Table) -> MediaColumn:
        """The images of a table; what is not there is named when it is read.

        Raises:
            DataError: a path leads out of the folder.
        """
        root = os.path.realpath(self.media_root or table.path.parent)
        references = []
        for line, path in zip(table.lines, table.column("path"), strict=True):
            whole = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 - lexical
            if not path or real_path(root, whole) is None:
                raise DataError(
                    f"the path {path[:200]!r} leads out of {root}, and only what lies below it is "
                    "read; name the folder that holds all images with --media_root.",
                    table.path,
                    line,
                )
            references.append(Reference(os.path.relpath(whole, root)))
        return MediaColumn.of(root, references)


def _shares(table: Table, classes: int | None) -> np.ndarray:
    """float32 [rows, C].

    Raises:
        DataError: a field is no list of so many numbers.
    """
    rows = []
    for line, field in zip(table.lines, table.column("soft_label"), strict=True):
        try:
            row = [float(number) for number in field.split()]
        except ValueError:
            row = []
        if not row or not np.isfinite(row).all() or len(row) != (classes or len(row)):
            raise DataError(
                f"the soft label {field[:60]!r} is no list of {classes or 'some'} numbers with "
                "blanks between, one for each class.",
                table.path,
                line,
            )
        classes = len(row)
        rows.append(row)
    return np.array(rows, np.float32)
