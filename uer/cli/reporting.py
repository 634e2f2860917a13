"""Flags about where a run reports to besides the console."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from uer.training.processes import Processes
from uer.training.progress import JsonLines, TensorBoard, WeightsAndBiases, Writer
from uer.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """Where reports go; only the main process has files."""

    log_path: Annotated[str | None, "file for reports as JSON lines"] = None
    tensorboard_path: Annotated[str | None, "folder for TensorBoard"] = None
    wandb_project: Annotated[str | None, "project on Weights & Biases to report to"] = None

    def writers(self, settings: Settings, processes: Processes) -> list[Writer]:
        """What writes there.

        Args:
            settings: of the run.
            processes: of the run.
        """
        found: list[Writer] = []
        if not processes.is_main:
            return found
        if self.log_path is not None:
            found.append(JsonLines(self.log_path))
        if self.tensorboard_path is not None:
            found.append(TensorBoard(self.tensorboard_path))
        if self.wandb_project is not None:
            found.append(WeightsAndBiases(self.wandb_project, asdict(settings)))
        return found
