"""Flags about what a run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from uer.cli.starting import base_weights, settings_of
from uer.training.resume import Found, find
from uer.zoo.resolve import resolve


@dataclass(frozen=True)
class Origin:
    """What a run starts from.

    Args:
        found: the checkpoint of this run that it goes on from.
        pretrained: the checkpoint whose weights it started with; None: it has none.
        adapters: the checkpoint whose adapters it started with.
        allow_partial: load what fits of the two.
    """

    found: Found
    pretrained: str | None
    adapters: str | None
    allow_partial: bool

    def settings(self) -> dict[str, Any]:
        """The settings that follow from these checkpoints; all others win over them."""
        return settings_of(self.found.folder, self.adapters)


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The flags."""

    pretrained_model_path: Annotated[str | None, "checkpoint to start from"] = None
    lora_pretrained_model_path: Annotated[
        str | None, "checkpoint of adapters to start from, beside that of the model"
    ] = None
    resume_from_checkpoint: Annotated[
        str | None, "checkpoint of this run to go on from; auto: the newest, if there is one"
    ] = None
    resume: Annotated[str | None, "the same as --resume_from_checkpoint"] = None
    allow_partial: Annotated[bool, "load what fits of a checkpoint that does not fit"] = False

    def origin(self, output_model_path: str | Path) -> Origin:
        """Find what the flags name.

        Args:
            output_model_path: where the run writes.

        Raises:
            UserError: the flags contradict each other, or there is no such checkpoint.
        """
        found = find(self.resume_from_checkpoint, self.resume, output_model_path)
        adapters = self.lora_pretrained_model_path
        pretrained = base_weights(resolve(self.pretrained_model_path), found.folder, adapters)
        return Origin(found, pretrained, adapters, self.allow_partial)
