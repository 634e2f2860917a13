"""Flags about reading images and sounds, for the commands that read data sets or tables of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uer.data.formats import FORMATS
from uer.data.loader import Loader, loaded
from uer.data.media.report import MediaReport
from uer.data.stream import Stream
from uer.errors import ConfigError
from uer.processors.base import processors


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How images and sounds are read.

    Raises:
        ConfigError: the number of workers is negative.
    """

    loader_workers: Annotated[
        int, "processes that read and transform images and sounds; 0: the process itself does"
    ] = 0
    media_report_path: Annotated[
        str | None,
        "table to name images and sounds in that could not be read; further processes have their "
        "own, <name>.1.tsv, …",
    ] = None

    def __post_init__(self) -> None:
        if self.loader_workers < 0:
            raise ConfigError([f"--loader_workers {self.loader_workers}: must not be negative."])

    def report(self, rank: int = 0) -> MediaReport:
        """Where what cannot be read is noted; every process has its own.

        Raises:
            UserError: the table cannot be written.
        """
        path = None if self.media_report_path is None else Path(self.media_report_path)
        if path is not None and rank:
            path = path.with_name(f"{path.stem}.{rank}{path.suffix}")
        return MediaReport(path)

    def stream(self, stream: Stream, report: MediaReport) -> Stream | Loader:
        """A stream that notes what it cannot read, with workers if it reads media at all."""
        stream.media_report = report
        return loaded(stream, self.loader_workers if stream.store.media else 0)


def reads_text(data_processor: str) -> bool:
    """Whether a processor's corpora have texts; of one that is not known, others will speak."""
    if data_processor not in processors.names():
        return True
    return FORMATS[processors.get(data_processor).corpus].has_text
