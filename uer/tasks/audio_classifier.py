"""Classification of sounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from uer.data.table import read_table
from uer.tasks._media import MediaRoot, measures_of, media_of
from uer.tasks.base import Examples
from uer.tasks.classifier import Classifier, require_dense


class AudioClassifier(Classifier):
    """Reads tables with ``wav_path`` and ``label``; writes tables with ``label``."""

    processor: ClassVar[str] = "sound_cls"

    def __init__(
        self,
        *,
        output_logits: Annotated[bool, "predictions carry the scores before softmax"] = False,
        output_prob: Annotated[bool, "predictions carry the probabilities of the classes"] = False,
        media_root: MediaRoot = None,
    ) -> None:
        super().__init__(output_logits=output_logits, output_prob=output_prob)
        self.media_root = media_root

    def read(self, path: str | Path, facts: Mapping[str, Any], *, labelled: bool) -> Examples:
        """See `Task.read`."""
        table = read_table(path, ["wav_path", "label"] if labelled else ["wav_path"])
        sounds = media_of(table, "wav_path", self.media_root)
        columns: dict[str, Any] = dict(measures_of(sounds))
        if labelled:
            labels = table.integers("label", below=facts.get("labels_num"))
            if "labels_num" not in facts:
                require_dense(labels, table)
            columns["label"] = np.array(labels, np.int64)
        return Examples([], columns, {"sound": sounds})
