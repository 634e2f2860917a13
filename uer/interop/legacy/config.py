"""Configurations of UER-py and TencentPretrain, put into ours.

One table; strictness applies after it. What their keys mean is a dialect's to say
(`uer.interop.legacy.dialect`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uer.interop.legacy.dialect import Dialect, as_published, as_trained
from uer.interop.legacy.sections import STREAMS, part_names, streams_of

# Where this key is true, that key names this part.
_SWITCHES = {
    "rotary_position_embedding": ("position", "rotary"),
    "relative_position_embedding": ("position", "relative"),
    "alibi_position_embedding": ("position", "alibi"),
    "has_residual_attention": ("attention", "residual"),
    "whole_word_masking": ("masking", "word"),
    "span_masking": ("masking", "span"),
}

# Other names for the same.
_KEYS = {"local_kv_heads_num": "kv_heads_num"}
_VALUES: dict[tuple[str, Any], Any] = {
    ("mask", "prefix"): "causal_with_prefix",
    ("layernorm", "t5"): "rms",
}

# Keys without a counterpart, and why.
_DROPPED = {
    "layer_number_scale": "the predecessors never read it",
    "image_tokenizer": "an image tokenizer is a model of its own",
    "deep_init": "every module initialises itself",
    "ignore_index": "labels never stand at padding",
    "prefix_lm_loss": "the data processor decides which tokens are predicted",
}
_DROPPED_IN_STREAMS = {"vocab_size": "the tokenizer knows how many tokens there are"}

# Their data processors that read images, and our name of what they call crop.
_OF_IMAGES = ("vit", "vilt", "clip", "beit")  # dalle reads codes
_CROP = "random_resized_crop"


def translate(
    config: Mapping[str, Any], dialect: Dialect = "published", *, theirs: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """A predecessors' flat configuration as one of ours.

    Args:
        config: the mapping of their JSON file; one of ours passes through unchanged, but for the
            dialect.
        dialect: whose arithmetic the keys mean.
        theirs: it is a file of theirs, so what their keys imply is spelt out.

    Returns:
        The configuration, and one sentence for every key that was dropped.
    """
    notes: list[str] = []
    ours = _renamed(config, _DROPPED, notes)
    for name in STREAMS:
        if isinstance(ours.get(name), Mapping):
            ours[name] = _renamed(ours[name], _DROPPED | _DROPPED_IN_STREAMS, notes)
    notes += _codes_of_images(ours, config.get("image_tokenizer"))
    notes += _codes_to_predict(ours, config.get("image_tokenizer"))
    notes += _tokens_of_images(ours) + _pieces_in_bert(ours) + _spans_of_processors(ours)
    _hoist_pooling(ours)
    if theirs or dialect == "legacy":
        _spell_out(ours, notes)
    if dialect == "legacy":
        as_trained(ours, notes)
    elif theirs:
        as_published(ours, notes)
    return ours, list(dict.fromkeys(notes))


def _renamed(
    config: Mapping[str, Any], dropped: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    """What is said by other words in ours."""
    ours: dict[str, Any] = {}
    for key, value in config.items():
        if key in dropped:
            notes.append(f"{key} is ignored: {dropped[key]}.")
        elif key in _SWITCHES:
            if value:
                chosen, name = _SWITCHES[key]
                ours[chosen] = name
        elif key in ("embedding", "tgt_embedding") and value == ["dual"]:
            ours[key] = "dual"
        elif key == "image_preprocess":
            steps = value if isinstance(value, list) else [value]
            ours[key] = [_CROP if step == "crop" else step for step in steps]
        elif isinstance(value, str):
            ours[_KEYS.get(key, key)] = _VALUES.get((key, value), value)
        else:
            ours[_KEYS.get(key, key)] = value
    if "projection" in ours and not ours.pop("projection"):
        ours.pop("feature_size", None)
    return ours


def _tokens_of_images(config: dict[str, Any]) -> list[str]:
    """Where there are only images there is no tokenizer, or it is a model of its own."""
    if config.get("tokenizer") not in ("virtual", "image", "vqgan"):
        return []
    return [f"tokenizer {config.pop('tokenizer')} is ignored: images need none."]


def _codes_to_predict(config: dict[str, Any], described: Any) -> list[str]:
    """BEiT's vocabulary is that of the image tokenizer, whose codes are of the whole image.

    Args:
        config: what is changed.
        described: as in `_codes_of_images`.
    """
    if config.get("data_processor") != "beit":
        return []
    if isinstance(described, Mapping) and "image_vocab_size" in described:
        config.setdefault("codes_num", described["image_vocab_size"])
        config["facts"] = {"vocab_size": config["codes_num"], **(config.get("facts") or {})}
    wanted = config.get("image_preprocess") or []
    moving = [name for name in wanted if name in ("random_resized_crop", "horizontal_flip")]
    if moving:
        config["image_preprocess"] = [name for name in wanted if name not in moving]
    return [f"image_preprocess {name} is ignored: codes stay where they are." for name in moving]


def _codes_of_images(config: dict[str, Any], described: Any) -> list[str]:
    """Sequences of text and codes of images: the codes are added to any tokenizer here.

    Args:
        config: what is changed.
        described: their ``image_tokenizer``, which says how many codes there are.
    """
    if config.get("tokenizer") not in ("text_image", "multimodal"):
        return []
    if "encoder" not in config:  # a command line
        config["tokenizer"] = "bert"
        return []
    notes = [f"tokenizer {config.pop('tokenizer')} is ignored: the data set brings its own."]
    config.setdefault("data_processor", "dalle")
    if isinstance(described, Mapping) and "image_vocab_size" in described:
        config.setdefault("codes_num", described["image_vocab_size"])
    pixels = ("image_height", "image_width", "patch_size")
    unread = [key for key in pixels if config.pop(key, None) is not None]
    return [*notes, *(f"{key} is ignored: codes are read, not pixels." for key in unread)]


def _pieces_in_bert(config: dict[str, Any]) -> list[str]:
    """Their ``--tokenizer bert --spm_model_path`` is a tokenizer of its own here."""
    if config.get("tokenizer") != "bert" or config.get("spm_model_path") is None:
        return []
    config["tokenizer"] = "sentencepiece_comma"
    unread = [key for key in ("vocab_path", "do_lower_case") if config.pop(key, None) is not None]
    return [f"{key} is ignored: with a sentencepiece model nobody reads it." for key in unread]


def _spans_of_processors(config: dict[str, Any]) -> list[str]:
    """Their masking flags have no say where a processor hides spans by rules of its own."""
    name = config.get("data_processor")
    if name not in ("t5", "bart"):
        return []
    unread = [key for key in ("span_geo_prob", "span_max_length") if config.pop(key, None)]
    if config.get("masking") in ("span", "word"):
        unread.insert(0, f"masking {config.pop('masking')}")
    return [
        f"{key} is ignored: the processor '{name}' hides spans by corruption_rate and "
        "mean_span_length."
        for key in unread
    ]


def _hoist_pooling(config: dict[str, Any]) -> None:
    """How the streams are pooled is for the target to know, which reads no stream's section."""
    streams = list(streams_of(config))
    if not any("pooling" in stream for stream in streams):
        return
    outer = config.get("pooling", "first")
    first, second = (stream.pop("pooling", outer) for stream in streams)
    config["pooling"] = first
    if second != first:
        config["pooling_1"] = second


def _spell_out(config: dict[str, Any], notes: list[str]) -> None:
    """What their keys imply without saying so."""
    if config.get("embedding") in ("dual", "legacy_dual") and "tie_streams" not in config:
        tied = config.pop("tie_weights", None)
        if tied is not None:
            config["tie_streams"] = tied
    if config.get("data_processor") in _OF_IMAGES:
        config.setdefault("image_preprocess", [_CROP, "normalize"])  # their flag's default
    for section in (config, *streams_of(config)):
        if any(name.endswith("sinusoidalpos") for name in part_names(section.get("embedding"))):
            section.setdefault("scale_embedding", True)
    for section in streams_of(config):
        if "max_seq_length" in section and "pos" not in part_names(section.get("embedding")):
            del section["max_seq_length"]
            notes.append(
                "max_seq_length is ignored: in a stream without pos nothing depends on it."
            )
