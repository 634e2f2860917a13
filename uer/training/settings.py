"""How a run is trained: the numbers that belong to no part of the model.

The names are the predecessors'. ``total_steps``, warm-up and schedules count updates, whatever the
accumulation is. Every field is a command-line flag of the same name; its annotation is the help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Annotated, Literal, get_args

from uer.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run.

    Raises:
        ConfigError: all values that cannot be, each with its flag.
    """

    output_model_path: Annotated[str, "where checkpoints are written"]
    total_steps: Annotated[int, "updates to train for"] = 100_000
    save_checkpoint_steps: Annotated[
        int, "updates between checkpoints; there is one at the end"
    ] = 10_000
    keep_checkpoints: Annotated[int, "how many of the last to keep beside the best; 0: all"] = 0
    async_save: Annotated[
        bool, "write checkpoints while training goes on, which needs memory for a copy"
    ] = True
    report_steps: Annotated[int, "updates between reports"] = 100
    eval_steps: Annotated[int, "updates between evaluations; 0: only at checkpoints"] = 0
    batch_size: Annotated[int, "rows of a micro-batch, per process"] = 32
    accumulation_steps: Annotated[int, "micro-batches of an update"] = 1
    learning_rate: Annotated[float, "peak learning rate"] = 2e-5
    layerwise_decay: Annotated[
        float, "learning rate of each layer as a factor of that of the layer above"
    ] = 1.0
    ema_decay: Annotated[
        float, "share that an update keeps of a running mean of the weights; 0: there is none"
    ] = 0.0
    max_hours: Annotated[float | None, "end the run, with a checkpoint, after this time"] = None
    max_grad_norm: Annotated[float, "gradients are clipped to this norm; 0: never"] = 1.0
    max_skipped_updates: Annotated[
        int, "stop after this many updates in a row whose gradients are not finite"
    ] = 10
    rewind: Annotated[
        int, "times to go back to a checkpoint then, and on behind these updates' data"
    ] = 0
    spike_factor: Annotated[
        float, "warn of gradients whose norm is this many times the usual; 0: never"
    ] = 10.0
    seed: Annotated[int, "seed of everything random"] = 7
    precision: Annotated[
        Precision, "arithmetic of the forward pass; auto: what the device does well"
    ] = "auto"
    tf32: Annotated[
        bool, "on a GPU, products of fp32 numbers are of numbers rounded to 10 bits (TF32)"
    ] = False
    compile: Annotated[bool, "compile layers with torch.compile, for rows of one shape"] = False
    checkpoint_activations: Annotated[
        bool, "keep only the inputs of layers for the backward pass, which computes the rest again"
    ] = False
    freeze: Annotated[
        list[str] | None, "patterns of parameters that are not trained (embedding, *.norm.bias)"
    ] = None
    use_lora: Annotated[
        bool, "train low-rank differences to the weights of the checkpoint to start from"
    ] = False
    lora_r: Annotated[int, "rank of the differences"] = 8
    lora_alpha: Annotated[float, "scale of the differences, divided by their rank"] = 16.0
    lora_dropout: Annotated[float, "dropout rate of what the differences are computed of"] = 0.0
    lora_targets: Annotated[
        list[str] | None, "patterns of linear maps to adapt (default: attention's query and value)"
    ] = None
    lora_modules_to_save: Annotated[
        list[str] | None, "patterns of parameters that are trained whole beside the differences"
    ] = None
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto"
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None

    def __post_init__(self) -> None:
        problems = [
            f"--{name} {getattr(self, name)}: {rule}."
            for name, (holds, rule) in self._rules().items()
            if not holds
        ]
        if problems:
            raise ConfigError(problems)

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """For every checked field: whether its value is good, and what a good value is."""
        counts = ("total_steps", "save_checkpoint_steps", "report_steps", "batch_size")
        counts += ("accumulation_steps", "max_skipped_updates", "lora_r")
        at_least_one = {name: (getattr(self, name) >= 1, "must be at least 1") for name in counts}
        not_negative = {
            name: (getattr(self, name) >= 0, "must not be negative")
            for name in ("keep_checkpoints", "eval_steps", "rewind")
        }
        return {
            **at_least_one,
            **not_negative,
            "output_model_path": (bool(self.output_model_path), "name a place to write to"),
            "learning_rate": (_positive(self.learning_rate), "must be a positive number"),
            "layerwise_decay": (
                0 < self.layerwise_decay <= 1,
                "must lie between 0 and 1, 0 excluded",
            ),
            "ema_decay": (0 <= self.ema_decay < 1, "must lie between 0 and 1, 1 excluded"),
            "max_hours": (
                self.max_hours is None or _positive(self.max_hours),
                "must be a positive number",
            ),
            "spike_factor": (
                self.spike_factor == 0 or (_positive(self.spike_factor) and self.spike_factor > 1),
                "must be above 1, or 0 for no warnings",
            ),
            "max_grad_norm": (
                self.max_grad_norm == 0 or _positive(self.max_grad_norm),
                "must be a positive number, or 0 for no clipping",
            ),
            "lora_alpha": (_positive(self.lora_alpha), "must be a positive number"),
            "lora_dropout": (0 <= self.lora_dropout < 1, "must lie between 0 and 1, 1 excluded"),
            "seed": (0 <= self.seed < 2**32, "must lie between 0 and 2^32 - 1"),
            "threads": (self.threads is None or self.threads >= 1, "must be at least 1"),
            "precision": (self.precision in get_args(Precision), "choose auto, fp32, bf16 or fp16"),
        }

    def facts(self) -> dict[str, float]:
        """What schedules ask for."""
        return {"total_steps": self.total_steps, "learning_rate": self.learning_rate}

    def differences(self, other: dict[str, object]) -> list[str]:
        """What differs from the settings of another run, as ``"seed 7 (was 8)"``."""
        return [
            f"{field.name} {getattr(self, field.name)} (was {other[field.name]})"
            for field in fields(self)
            if field.name in other and other[field.name] != getattr(self, field.name)
        ]


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
