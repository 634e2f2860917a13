"""What the tasks that write down what was said share."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import torch

from uer.batch import Batch
from uer.data.table import read_table
from uer.errors import UserError
from uer.files import atomic_file
from uer.model import Model
from uer.tasks._media import measures_of, media_of
from uer.tasks.base import Examples, Task

_END = -1  # behind the ids of a text, so that an empty one is told from none


class Transcription(Task):
    """Reads tables with ``text`` and ``wav_path``; writes one text per line, without a header.

    Attributes:
        media_root: see `uer.tasks._media`.
    """

    media_root: str | None = None

    @abstractmethod
    def transcribe(self, model: Model, batch: Batch) -> list[list[int]]:
        """The ids of what was said in each row."""

    def read(self, path: str | Path, facts: Mapping[str, Any], *, labelled: bool) -> Examples:
        """See `Task.read`."""
        table = read_table(path, ["text", "wav_path"] if labelled else ["wav_path"])
        sounds = media_of(table, "wav_path", self.media_root)
        texts = table.column("text") if labelled else [""] * len(table)
        return Examples([[text] for text in texts], measures_of(sounds), {"sound": sounds})

    def facts(self, examples: Examples) -> dict[str, Any]:
        """Nothing: there are no classes."""
        return {}

    def predict(self, model: Model, batch: Batch) -> torch.Tensor:
        """[D, T] ids, a mark of the end, and not numbers behind it."""
        texts = self.transcribe(model, batch)
        ids = torch.full((len(texts), 1 + max(map(len, texts))), torch.nan)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text) + 1] = torch.tensor([*text, _END], dtype=torch.float32)
        return ids

    def write(self, outputs: torch.Tensor, path: str | Path) -> None:
        """See `Task.write`; the line of a row that could not be read is empty."""
        with atomic_file(path) as scratch:
            scratch.write_text("".join(f"{text}\n" for text in self.texts(outputs)), "utf-8")

    def summary(self, outputs: torch.Tensor, examples: Examples) -> list[str]:
        """Word and character error rates over all rows that could be read."""
        read = (~outputs.isnan().all(-1)).tolist()
        said = list(compress(self.texts(outputs), read))
        wanted = list(compress((text for (text,) in examples.texts), read))
        if not any(text.split() for text in wanted):
            return [f"no error rate: none of {len(wanted)} rows has a text"]
        words, letters = error_rates(wanted, said)
        return [f"WER {words:.4f}, CER {letters:.4f} ({len(wanted)} rows)"]

    def texts(self, outputs: torch.Tensor) -> list[str]:
        """The texts of `predict`'s ids, each on one line."""
        assert self.tokenizer is not None, "the command has set it"
        rows = (row[row >= 0].long().tolist() for row in outputs)  # neither the end nor no number
        return [" ".join(self.tokenizer.decode(row).split()) for row in rows]


def error_rates(wanted: Sequence[str], said: Sequence[str]) -> tuple[float, float]:
    """Word and character error rate: edits over the length of what was wanted, over all rows.

    Several blanks count as one, and none around a text.

    Raises:
        UserError: jiwer is not installed.
    """
    try:
        jiwer: Any = importlib.import_module("jiwer")
    except ImportError as error:
        raise UserError(
            "error rates are counted by the package jiwer; install it: pip install 'uer[tasks]'."
        ) from error
    plain = [[" ".join(text.split()) for text in texts] for texts in (wanted, said)]
    return jiwer.wer(*plain), jiwer.cer(*plain)
