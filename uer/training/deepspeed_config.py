"""DeepSpeed's JSON file, and what the toolkit writes over it.

The file decides what ZeRO does: stage, offloading, buckets, half precision, and, with an
``optimizer`` block, the optimizer. Batch sizes, accumulation and the learning rate's schedule are
the toolkit's; gradient clipping is always written out, because DeepSpeed clips at 1.0 where it is
not mentioned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uer.errors import ConfigError
from uer.training.machine import Arithmetic

Json = dict[str, Any]

# Blocks that ask for what there is not here, and what to do instead.
_REFUSED = {
    "scheduler": "the learning rate follows --scheduler; take the block out",
    "amp": "use a bf16 or fp16 block, or --precision; take the block out",
    "tensor_parallel": "there is no tensor parallelism; take the block out, ZeRO stage 3 divides "
    "every parameter, too",
    "pipeline": "there is no pipeline parallelism; take the block out",
}
_OURS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
_NEVER = 2**31 - 1


def read_deepspeed_config(path: str | Path | None, *, zero3: bool = False) -> Json:
    """Read the file; without one, ZeRO stage 2 (3 if that is asked for).

    Args:
        path: the JSON file, or None.
        zero3: stage 3, whatever the file says.

    Raises:
        ConfigError: it cannot be read, or asks for what there is not.
    """
    config = {} if path is None else _read(Path(path))
    config = _without_auto(config)
    stage = dict(config.get("zero_optimization") or {})
    stage.setdefault("stage", 2 if path is None else 0)
    if zero3:
        stage["stage"] = 3
    problems = [f"{key}: {why}." for key, why in _REFUSED.items() if config.get(key)]
    if stage["stage"] not in (1, 2, 3):
        problems.append(
            f"zero_optimization.stage {stage['stage']}: choose 1, 2 or 3; undivided, the model "
            "trains with --engine ddp."
        )
    if _on(config, "fp16") and _on(config, "bf16"):
        problems.append("fp16 and bf16 are both enabled; choose one.")
    if problems:
        raise ConfigError(problems, path)
    if stage["stage"] < 3:
        stage.pop("offload_param", None)  # only stage 3 divides parameters
    config["zero_optimization"] = stage
    return config


def require_one_optimizer(config: Mapping[str, Any], *, layerwise_decay: float) -> None:
    """Refuse settings of the toolkit's optimizer where the file has one.

    Raises:
        ConfigError: the learning rate is to differ by layer.
    """
    if config.get("optimizer") and layerwise_decay != 1:
        raise ConfigError(
            [
                f"--layerwise_decay {layerwise_decay}: the optimizer block of DeepSpeed's file has "
                "one learning rate for all layers; take the block out, and --optimizer does it."
            ]
        )


def settings_in(config: Mapping[str, Any]) -> Json:
    """The run's settings that the file gives; the command line and the model's file win."""
    found = {}
    params = (config.get("optimizer") or {}).get("params") or {}
    if "lr" in params:
        found["learning_rate"] = params["lr"]
    if "gradient_clipping" in config:
        found["max_grad_norm"] = config["gradient_clipping"]
    for name in ("fp16", "bf16"):
        if _on(config, name):
            found["precision"] = name
    return found


def completed(
    config: Mapping[str, Any], *, precision: Arithmetic, max_grad_norm: float, device: str
) -> Json:
    """What DeepSpeed is given.

    Args:
        config: the file's.
        precision: of the forward pass.
        max_grad_norm: gradients are clipped to this norm; 0: never.
        device: ``cpu``, ``cuda``, …

    Raises:
        ConfigError: half precision that the device or the flags do not agree with.
    """
    for name in ("fp16", "bf16"):
        if _on(config, name) and precision != name:
            raise ConfigError(
                [f"{name} is enabled in DeepSpeed's file, --precision is {precision}; choose one."]
            )
    if precision == "fp16" and device == "cpu":
        raise ConfigError(["fp16: a CPU is slow at it; use a bf16 block or none."])
    made = {key: value for key, value in config.items() if key not in _OURS}
    zero = dict(made["zero_optimization"])
    made["zero_optimization"] = zero
    if precision == "fp16" and not _on(made, "fp16"):
        made["fp16"] = {"enabled": True}
    if zero["stage"] == 1:
        zero["overlap_comm"] = False  # gradients are exchanged once, when all are there
    # Without an optimizer block the toolkit's own is used, wherever its state lies.
    made.setdefault("zero_force_ds_cpu_optimizer", False)
    return {
        "steps_per_print": _NEVER,
        **made,
        "train_micro_batch_size_per_gpu": 1,  # DeepSpeed only counts with it
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": max_grad_norm,
        "zero_allow_untested_optimizer": True,
    }


def divides_rounded(config: Mapping[str, Any]) -> bool:
    """Whether DeepSpeed rounds the weights to half precision before it divides them."""
    return _on(config, "fp16") or _on(config, "bf16")


def _read(path: Path) -> Json:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}."], path) from error
    except ValueError as error:
        raise ConfigError([f"is no JSON: {error}."], path) from error
    if not isinstance(config, dict):
        raise ConfigError(["must be one JSON object."], path)
    return config


def _without_auto(config: Mapping[str, Any]) -> Json:
    """Values ``auto`` mean what is decided elsewhere."""
    return {
        key: _without_auto(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if value != "auto"
    }


def _on(config: Mapping[str, Any], name: str) -> bool:
    return bool((config.get(name) or {}).get("enabled"))
