"""Rotary positions in config.json: of today (``rope_parameters``) and before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uer.errors import ConfigError
from uer.interop.huggingface.base import Config


def read_rope(theirs: Config, theta: float) -> dict[str, Any]:
    """Our keys of rotary positions.

    Args:
        theirs: the content of config.json.
        theta: the family's base of wave lengths where config.json does not say it.

    Raises:
        ConfigError: only some dimensions of a head are rotated, or it is no mapping.
    """
    said = theirs.get("rope_scaling") or theirs.get("rope_parameters") or {}
    if not isinstance(said, Mapping):
        raise ConfigError([f'rope_scaling: {said!r} is no mapping, such as {{"rope_type": …}}.'])
    scaling = dict(said)
    share = scaling.pop("partial_rotary_factor", theirs.get("partial_rotary_factor", 1.0))
    if share != 1.0:
        raise ConfigError(
            [
                f"partial_rotary_factor: {share} is an option that is not supported here; all "
                "dimensions of a head are rotated."
            ]
        )
    found = {"rope_theta": float(scaling.pop("rope_theta", theirs.get("rope_theta", theta)))}
    kind = scaling.pop("type", None)
    kind = scaling.pop("rope_type", kind) or "default"
    if kind == "default":
        return found
    if kind == "yarn":
        trained = theirs.get("max_position_embeddings")
        scaling.setdefault("original_max_position_embeddings", trained)
    return {**found, "rope_scaling": {"rope_type": kind, **scaling}}


def write_rope(values: Config) -> dict[str, Any]:
    """Their keys of rotary positions, which every version of transformers reads."""
    return {"rope_theta": values["rope_theta"], "rope_scaling": values.get("rope_scaling")}
