"""Columns that are added to a data set after it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uer.data.store_meta import META, column_meta, read_meta
from uer.errors import DataError, UserError
from uer.files import atomic_file


def add_column(folder: str | Path, name: str, values: np.ndarray) -> None:
    """Write a column beside those that a data set has; one of the same name is replaced.

    The data set is whole at any time: first comes the file, then ``meta.json``, which knows it.

    Args:
        folder: the data set.
        name: of the column, and of its file: letters, digits and underscores.
        values: int64 or float32, [D] or [D, C].

    Raises:
        DataError: there is no whole data set, or it has another number of documents.
        UserError: it cannot be written to, or the name is none.
    """
    if not (name.isascii() and name.isidentifier()):
        raise UserError(
            f"'{name}' cannot be a column's name; take letters, digits and underscores, such as "
            "codes."
        )
    root = Path(folder)
    meta = read_meta(root)
    if len(values) != meta.documents:
        raise DataError(
            f"the column '{name}' has {len(values)} rows, the data set {meta.documents} documents.",
            root,
        )
    place = f"columns/{name}.bin"
    files = {**meta.files, place: values.nbytes}
    columns = {**meta.columns, name: column_meta(values)}
    if meta.columns.get(name, columns[name]) != columns[name] and name in meta.columns:
        raise DataError(
            f"the data set has a column '{name}' of another type or width; preprocess it anew.",
            root,
        )
    (root / "columns").mkdir(exist_ok=True)
    with atomic_file(root / place) as scratch:
        scratch.write_bytes(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    changed = meta.model_copy(
        update={"columns": dict(sorted(columns.items())), "files": dict(sorted(files.items()))}
    )
    with atomic_file(root / META) as scratch:
        scratch.write_text(changed.model_dump_json(indent=2) + "\n", encoding="utf-8")
