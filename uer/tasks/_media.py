"""What the tasks about images and sounds share: media that the rows of a table name."""

from __future__ import annotations

import os
from typing import Annotated

import numpy as np

from uer.data.media.references import MediaColumn, MediaError, Reference, real_path
from uer.data.media.sound import measure
from uer.data.table import Table
from uer.errors import DataError

MediaRoot = Annotated[str | None, "folder that the paths are relative to (default: the table's)"]


def media_of(table: Table, column: str, media_root: str | None) -> MediaColumn:
    """The images or sounds of a table; what is not there is named when it is read.

    Raises:
        DataError: a path leads out of the folder.
    """
    root = os.path.realpath(media_root or table.path.parent)
    references = []
    for line, path in zip(table.lines, table.column(column), strict=True):
        whole = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 - lexical
        if not path or real_path(root, whole) is None:
            raise DataError(
                f"the path {path[:200]!r} leads out of {root}, and only what lies below it is "
                "read; name the folder that holds all of them with --media_root.",
                table.path,
                line,
            )
        references.append(Reference(os.path.relpath(whole, root)))
    return MediaColumn.of(root, references)


def measures_of(sounds: MediaColumn) -> dict[str, np.ndarray]:
    """How long the sounds of a table are, as columns.

    A sound whose header cannot be read is taken for one of a second; reading it says what is wrong.
    """
    told = []
    for row in range(len(sounds)):
        try:
            told.append(measure(sounds[row]))
        except MediaError:
            told.append({"samples": 16000, "rate": 16000})
    return {f"sound_{key}": np.array([one[key] for one in told], np.int64) for key in told[0]}
