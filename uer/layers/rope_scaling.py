"""Wave lengths of rotary positions, stretched for texts longer than a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from uer.errors import ConfigError, did_you_mean

_KINDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
    "yarn": ("factor", "original_max_position_embeddings"),
}
_OPTIONAL = {"yarn": ("beta_fast", "beta_slow", "attention_factor")}


def inverse_frequencies(
    head_size: int, theta: float, scaling: Mapping[str, Any] | None
) -> tuple[torch.Tensor, float]:
    """Angles per position.

    Args:
        head_size: Dh.
        theta: base of the wave lengths.
        scaling: ``rope_type`` and its constants; None: none.

    Returns:
        float32 [Dh/2] radians per position, on the CPU; and what cosines and sines are multiplied
        by.

    Raises:
        ConfigError: an unknown type, or a constant is missing or unknown.
    """
    exponent = torch.arange(0, head_size, 2, dtype=torch.float32, device="cpu") / head_size
    frequency = 1.0 / theta**exponent
    kind, constants = _checked(scaling or {})
    if kind == "linear":
        return frequency / constants["factor"], 1.0
    if kind == "llama3":
        return _llama3(frequency, constants), 1.0
    if kind == "yarn":
        return _yarn(frequency, constants, head_size, theta)
    return frequency, 1.0


def _checked(scaling: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        hint = did_you_mean(str(kind), _KINDS)
        raise ConfigError([f"rope_scaling: no rope_type is called '{kind}'{hint} Known: {known}."])
    given = {key: v for key, v in scaling.items() if key not in ("rope_type", "type")}
    needed, more = _KINDS[kind], _OPTIONAL.get(kind, ())
    problems = [f"rope_scaling: {kind} needs '{key}'." for key in needed if key not in given]
    problems += [
        f"rope_scaling: {kind} does not know '{key}'{did_you_mean(key, (*needed, *more))}"
        for key in given
        if key not in (*needed, *more)
    ]
    if problems:
        raise ConfigError(problems)
    return kind, given


def _llama3(frequency: torch.Tensor, constants: Mapping[str, float]) -> torch.Tensor:
    """Long waves are stretched, short ones kept, those between blended (Llama 3.1, 2407.21783)."""
    turns = constants["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = constants["low_freq_factor"], constants["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * frequency + (1 - kept) * frequency / constants["factor"]


def _yarn(
    frequency: torch.Tensor, constants: Mapping[str, float], head_size: int, theta: float
) -> tuple[torch.Tensor, float]:
    """Blend by how often a wave turns in the trained length (YaRN, arXiv:2309.00071)."""
    factor, trained = constants["factor"], constants["original_max_position_embeddings"]

    def dimension(turns: float) -> float:
        """Where a wave makes so many turns in the trained length."""
        return head_size * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(dimension(constants.get("beta_fast", 32))), 0)
    high = min(math.ceil(dimension(constants.get("beta_slow", 1))), head_size - 1)
    ramp = (torch.arange(head_size // 2, device="cpu").float() - low) / max(high - low, 1e-3)
    kept = 1 - ramp.clamp(0, 1)
    scale = constants.get("attention_factor") or 0.1 * math.log(factor) + 1.0
    return kept * frequency + (1 - kept) * frequency / factor, scale
