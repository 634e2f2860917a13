"""Configurations of UER-py and TencentPretrain, put into ours.

One table; strictness applies after it. Two dialects:

* ``published``: a key means what the paper and the field mean by it. The default for a model that
  starts from scratch.
* ``legacy``: the arithmetic of the predecessors' code, for weights trained by it: their own norm,
  output layers that share_embedding unties, keys that their code never reads without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Dialect = Literal["published", "legacy"]

# where this key is true, that key names this part
_SWITCHES = {
    "rotary_position_embedding": ("position", "rotary"),
    "relative_position_embedding": ("position", "relative"),
    "whole_word_masking": ("masking", "word"),
    "span_masking": ("masking", "span"),
}

# Keys without a counterpart, and why.
_DROPPED = {
    "layer_number_scale": "the predecessors never read it",
    "image_tokenizer": "an image tokenizer is a model of its own",
    "deep_init": "every module initialises itself",
}


def translate(
    config: Mapping[str, Any], dialect: Dialect = "published", *, stream: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """A predecessors' flat configuration as one of ours.

    Args:
        config: the mapping of their JSON file; one of ours passes through unchanged, but for the
            dialect.
        dialect: whose arithmetic the keys mean.
        stream: it is a section of a dual model; what it does not say stands outside of it.

    Returns:
        The configuration, and one sentence for every key that was dropped.
    """
    ours, notes = {}, []
    for key, value in config.items():
        if key in _DROPPED:
            notes.append(f"{key} is ignored: {_DROPPED[key]}.")
        elif key == "alibi_position_embedding":
            if dialect == "published" and value:
                ours["position"] = "alibi"
            else:
                notes.append(f"{key} is ignored: the predecessors never read it.")
        elif key in _SWITCHES:
            if value:
                chosen, name = _SWITCHES[key]
                ours[chosen] = name
        elif key == "mask" and value == "prefix":
            ours["mask"] = "causal_with_prefix"
        elif key in ("embedding", "tgt_embedding") and value == ["dual"]:
            ours[key] = "dual"
        elif key in ("stream_0", "stream_1") and isinstance(value, Mapping):
            ours[key], more = translate(value, dialect, stream=True)
            notes += more
        else:
            ours[key] = value
    notes += _pieces_in_bert(ours)
    if dialect == "legacy":
        _as_trained(ours, stream=stream)
    return ours, notes


def _as_trained(config: dict[str, Any], *, stream: bool) -> None:
    """What the predecessors' code makes of a configuration."""
    if config.get("layernorm", None if stream else "normal") == "normal":
        config["layernorm"] = "legacy"
        config["layernorm_eps"] = 1e-6
    if config.get("share_embedding"):
        config["tie_weights"] = False  # sharing replaces the table after the tie was made


def _pieces_in_bert(config: dict[str, Any]) -> list[str]:
    """Their ``--tokenizer bert --spm_model_path`` is a tokenizer of its own here."""
    if config.get("tokenizer") != "bert" or config.get("spm_model_path") is None:
        return []
    config["tokenizer"] = "sentencepiece_comma"
    unread = [key for key in ("vocab_path", "do_lower_case") if config.pop(key, None) is not None]
    return [f"{key} is ignored: with a sentencepiece model nobody reads it." for key in unread]
