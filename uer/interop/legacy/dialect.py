"""What the predecessors' keys mean: two dialects.

* ``published``: a key means what the paper and the field mean by it. The default for a model that
  starts from scratch.
* ``legacy``: the arithmetic of the predecessors' code, for weights trained by it: their own norm,
  sinusoids and pooling, output layers that share_embedding unties, keys that their code never reads
  without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from uer.interop.legacy.sections import part_name, part_names, streams_of

Dialect = Literal["published", "legacy"]

# Embeddings that read images; the map of their patches has no bias there.
_PATCHES = {"patch", "word_patch", "masked_patch"}

# Their norm where it is built without asking the configuration.
_FIXED_NORM = {"legacy": {"layernorm_eps": 1e-6}}


def as_published(config: dict[str, Any], notes: list[str]) -> None:
    """What the paper does and their code does not."""
    streams = list(streams_of(config))
    if "dropout" in config and streams and all("dropout" in stream for stream in streams):
        del config["dropout"]  # theirs also drops what the streams have made
        notes.append("dropout is ignored outside of the streams: each has its own.")
    if config.get("decoder") and config.get("tie_weights") and config.get("position") == "relative":
        config.setdefault("scale_tied_output", True)  # T5


def as_trained(config: dict[str, Any], notes: list[str]) -> None:
    """What the predecessors' code makes of a configuration."""
    for section in (config, *streams_of(config)):
        _part_as_trained(section, notes)
        _norms_as_trained(section, {**config, **section})
    config.pop("scale_tied_output", None)
    if config.get("label_smoothing") and "lm" in part_names(config.get("target")):
        targets = config["target"] if isinstance(config["target"], list) else [config["target"]]
        config["target"] = [_smoothed_as_trained(entry) for entry in targets]
    for key in ("pooling", "pooling_1"):
        if config.get(key) in ("mean", "last"):
            config[key] = f"legacy_{config[key]}"
    if config.get("embedding") == "dual":
        config["embedding"] = "legacy_dual"
    if config.get("share_embedding"):
        config["tie_weights"] = False  # sharing replaces the table after the tie was made
    if config.get("decoder") not in (None, "none", "None"):
        if config.get("position") == "rotary_interleaved":
            config.setdefault("decoder_position", "none")
        if config.get("attention") == "residual":
            config["encoder_attention"] = config.pop("attention")


def _smoothed_as_trained(entry: Any) -> Any:
    """A language model that smooths as theirs; other targets as they are."""
    if part_name(entry) != "lm":
        return entry
    keys = entry["lm"] if isinstance(entry, Mapping) else {}
    return {"legacy_lm": {"name": "lm", **(keys or {})}}


def _part_as_trained(section: dict[str, Any], notes: list[str]) -> None:
    """Parts whose arithmetic is their own."""
    for key in ("position_offset", "segments_num"):
        section.pop(key, None)  # their tables have neither unused rows nor another number
    if _PATCHES & set(part_names(section.get("embedding"))):
        section["patch_bias"] = False
    position = section.get("position")
    if position == "alibi":
        del section["position"]
        notes.append("alibi_position_embedding is ignored: the predecessors never read it.")
    if position == "rotary":
        section["position"] = "rotary_interleaved"
    if section.get("encoder") == "gatedcnn":
        section["encoder"] = "legacy_gatedcnn"
    for key in ("embedding", "tgt_embedding"):
        if isinstance(section.get(key), list):
            section[key] = [
                "legacy_sinusoidalpos" if part_name(entry) == "sinusoidalpos" else entry
                for entry in section[key]
            ]
    _sound_as_trained(section)


def _sound_as_trained(section: dict[str, Any]) -> None:
    """Where speech is read, sines precede cosines on both sides; only s2t has gates."""
    parts = {*part_names(section.get("embedding")), *part_names(section.get("tgt_embedding"))}
    if "legacy_sinusoidalpos" in parts:
        section.pop("sinusoids", None)
        if "speech" in parts:
            section["sinusoids"] = "halves"
    if "speech" in parts and section.get("data_processor", "s2t") != "s2t":
        section["conv_act"] = "gelu"


def _norms_as_trained(section: dict[str, Any], seen: Mapping[str, Any]) -> None:
    """Layers have the norm that is asked for; embeddings and the mlm head always have theirs.

    Args:
        section: what is changed.
        seen: the section's keys, and those outside of it that it inherits.
    """
    if seen.get("layernorm", "normal") == "normal":
        section["layernorm"] = "legacy"
    if section.get("layernorm", seen.get("layernorm")) == "legacy" and (
        seen.get("layernorm_eps", 1e-6) == 1e-6
    ):
        return
    for slot in ("embedding", "tgt_embedding"):
        if isinstance(section.get(slot), list):
            section[f"{slot}_layernorm"] = dict(_FIXED_NORM)
    if "mlm" in part_names(section.get("target")):
        section["target_layernorm"] = dict(_FIXED_NORM)
