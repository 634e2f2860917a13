"""How sounds are read: preprocessor_config.json and our keys of pipelines of sounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from uer.errors import ConfigError
from uer.interop.huggingface.pixels import FILE
from uer.interop.huggingface.weights import read_json

_ALL = "processor_config.json"  # where newer folders keep it, among other things
FRAMES, WAVE = "Speech2TextFeatureExtractor", "Wav2Vec2FeatureExtractor"
_STEPS = {
    "do_ceptral_normalize": "ceptral_normalize",
    "normalize_means": "normalize_means",
    "normalize_vars": "normalize_vars",
}
_RATE = 16000


class _Said(NamedTuple):
    """What a folder says, and the file where it does."""

    values: Mapping[str, Any]
    path: Path


def read_sounds(folder: Path, kind: str, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our keys of a pipeline of sounds; what the folder does not say has the default of theirs.

    Args:
        folder: of the model.
        kind: `FRAMES` or `WAVE`.
        theirs: the content of config.json.

    Raises:
        ConfigError: sounds are read there in a way that we do not have.
    """
    said = _said(folder)
    values, problems = said.values, []
    rate = values.get("sampling_rate", _RATE)
    if type(rate) is not int:
        problems.append(f"sampling_rate: {rate!r} is no number of samples.")
    found: dict[str, Any] = {"sampling_rate": rate}
    if kind == WAVE:
        found |= {"sounds": "wave", "normalize_wave": bool(values.get("do_normalize", True))}
    else:
        bins, model = values.get("num_mel_bins", 80), theirs.get("input_feat_per_channel", 80)
        if values and bins != model:
            problems.append(
                f"num_mel_bins: frames have {bins} filter banks and the model reads {model}."
            )
        if values.get("dither"):
            problems.append(f"dither: {values['dither']}: noise is not added here; make it 0.")
        steps = [ours for key, ours in _STEPS.items() if values.get(key, True)]
        found["audio_preprocess"] = steps
    if values.get("padding_value"):
        problems.append(
            f"padding_value: {values['padding_value']!r}: behind a sound is nothing but 0 here."
        )
    if problems:
        raise ConfigError(problems, said.path)
    return found


def _said(folder: Path) -> _Said:
    """The settings of a feature extractor, from the older of the files or from the newer."""
    for name in (FILE, _ALL):
        path = folder / name
        if path.is_file():
            values = read_json(path)
            return _Said(values.get("feature_extractor") or values, path)
    return _Said({}, folder / FILE)


def sounds_file(config: Mapping[str, Any], kind: str, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The content of their file.

    Args:
        config: our configuration.
        kind: `FRAMES` or `WAVE`.
        theirs: the content of config.json.
    """
    chosen = config.get("sounds")
    if isinstance(chosen, Mapping):  # a section of its own, whose keys are nearer
        config = {**config, **next(iter(chosen.values()))}
    found: dict[str, Any] = {
        "feature_extractor_type": kind,
        "sampling_rate": config.get("sampling_rate", _RATE),
        "padding_side": "right",
        "padding_value": 0.0,
    }
    if kind == WAVE:
        return {
            **found,
            "feature_size": 1,
            "do_normalize": config.get("normalize_wave", True),
            "return_attention_mask": theirs.get("feat_extract_norm") == "layer",
        }
    bins = theirs.get("input_feat_per_channel", 80)
    steps = config.get("audio_preprocess", list(_STEPS.values()))
    return {
        **found,
        "feature_size": bins,
        "num_mel_bins": bins,
        "dither": 0.0,
        "return_attention_mask": True,
        **{key: ours in steps for key, ours in _STEPS.items()},
    }
