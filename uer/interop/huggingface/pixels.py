"""How images become pixels: preprocessor_config.json and our transforms.

Their order is resize, crop, rescale, normalise. Transformers 4 writes preprocessor_config.json,
with sizes that are numbers in old files; 5 may write the same as ``image_processor`` of
processor_config.json, which then counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uer.errors import ConfigError
from uer.interop.huggingface.weights import read_json
from uer.transforms.normalize import STATISTICS

FILE = "preprocessor_config.json"
FILE_OF_ALL = "processor_config.json"
_WAYS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_KEEP_SHAPE = ("CLIP", "ChineseCLIP", "Bit", "Vilt")  # to them one number is the shorter side
_CROP = ("CLIP", "ChineseCLIP", "Bit", "DeiT")  # by default
_BILINEAR = ("ViT",)  # by default; others are bicubic
USUAL = {"image_preprocess": [], "interpolation": "bilinear"}  # what our keys are by default
_MIDDLE = 8 / 7  # of `random_resized_crop` in evaluation

Size = tuple[int, int]


class Pixels(NamedTuple):
    """What a folder says.

    Args:
        keys: our keys of a pipeline of images.
        notes: sentences about what is done otherwise here.
    """

    keys: dict[str, Any]
    notes: list[str]


def read_pixels(folder: Path, kind: str, size: Size, *, stretches: bool = False) -> Pixels:
    """Our keys of a pipeline of images; none where the folder says nothing.

    Args:
        folder: of Hugging Face.
        kind: their class of image processors, where the file does not name it.
        size: height and width that the model was made for.
        stretches: the model reads images of another size, too.

    Raises:
        ConfigError: a value makes no sense.
    """
    path, theirs = folder / FILE, None
    if (folder / FILE_OF_ALL).is_file():
        theirs = read_json(folder / FILE_OF_ALL).get("image_processor")
        path = folder / FILE_OF_ALL if theirs else path
    if not theirs and path.is_file():
        theirs = read_json(path)
    if not theirs:
        return Pixels({}, [])
    try:
        return _read(theirs, kind, size, stretches)
    except ConfigError as error:
        raise ConfigError(error.problems, path) from None


def _read(theirs: Mapping[str, Any], kind: str, size: Size, stretches: bool) -> Pixels:
    kind = str(theirs.get("image_processor_type") or theirs.get("feature_extractor_type") or kind)
    notes = [
        f"{key}: {theirs[key]!r} has no counterpart here and is left out."
        for key in ("crop_pct", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis")
        if theirs.get(key)
    ]
    asked = theirs.get("size") if theirs.get("do_resize", True) else None
    shorter, resized = _resized(asked, kind)
    cropped = None
    if theirs.get("do_center_crop", kind.startswith(_CROP)):
        cropped = _sides(theirs.get("crop_size", list(size)), "crop_size")
    made = cropped or resized or size
    keys: dict[str, Any] = {}
    if made != size and stretches:
        keys["images"] = {"single": {"image_height": made[0], "image_width": made[1]}}
        size = made
    elif made != size:
        notes.append(
            f"it makes images of {made[0]} x {made[1]} pixels, the model reads {size[0]} x "
            f"{size[1]}; here they get the model's size."
        )
    way = _way(theirs.get("resample"), kind, notes)
    steps: list[Any] = []
    if cropped:
        square = cropped[0] == cropped[1]
        if shorter is not None:
            steps.append({"resize": {"shorter": shorter, "interpolation": way}})
        elif resized not in (None, size) and resized[0] == resized[1]:
            steps.append({"resize": {"side": resized[0], "interpolation": way}})
        elif resized is not None:
            steps.append({"resize": {"interpolation": way}})
        if cropped == size:
            steps.append("center_crop")
        elif square:
            steps.append({"center_crop": {"side": cropped[0]}})
        else:
            notes.append(f"crop_size: {cropped[0]} x {cropped[1]} has no counterpart here.")
    elif resized is None and (shorter is not None or asked is None or not _known(asked)):
        notes.append(
            f"size: {theirs.get('size')!r} keeps the shape of an image; here every image becomes "
            f"{size[0]} x {size[1]}."
        )
    keys["interpolation"] = way
    steps += _normalised(theirs, kind)
    return Pixels({**keys, "image_preprocess": steps}, notes)


def _resized(asked: Any, kind: str) -> tuple[int | None, Size | None]:
    """Length of the shorter side, or both sides; neither: it is not said, or in another way."""
    if isinstance(asked, int) and kind.startswith(_KEEP_SHAPE):
        return asked, None
    if isinstance(asked, Mapping) and "height" not in asked:
        shorter = None if "longest_edge" in asked else asked.get("shortest_edge")
        if shorter is not None and (type(shorter) is not int or shorter < 1):
            raise ConfigError([f"size: {asked!r} is no size."])
        return shorter, None
    return None, None if asked is None else _sides(asked, "size")


def _known(asked: Any) -> bool:
    return not isinstance(asked, Mapping) or "height" in asked


def _sides(size: Any, key: str) -> Size:
    """Height and width, however they are written."""
    pair: Any = [size, size] if isinstance(size, int) else size
    if isinstance(size, Mapping):
        pair = [size.get("height"), size.get("width")]
    good = isinstance(pair, Sequence) and len(pair) == 2
    if not good or not all(type(side) is int and side > 0 for side in pair):
        raise ConfigError([f"{key}: {size!r} is neither a number of pixels nor height and width."])
    return pair[0], pair[1]


def _way(number: Any, kind: str, notes: list[str]) -> str:
    if number is None:
        return "bilinear" if kind.startswith(_BILINEAR) else "bicubic"
    if number not in _WAYS:
        notes.append(f"resample: {number!r} is a way to resize that we do not have; bicubic is.")
    return _WAYS.get(number, "bicubic")


def _normalised(theirs: Mapping[str, Any], kind: str) -> list[Any]:
    """Rescaling and normalising as one step, if anything is to be done."""
    factor = theirs.get("rescale_factor", 1 / 255) if theirs.get("do_rescale", True) else 1.0
    usual = "clip" if kind.startswith(("CLIP", "ChineseCLIP", "Bit")) else "half"
    known = STATISTICS[usual if theirs.get("do_normalize", True) else "none"]
    given = [
        _numbers(theirs[key], key) if theirs.get(key) is not None else list(values)
        for key, values in zip(("image_mean", "image_std"), known, strict=True)
    ]
    mean, deviation = given if theirs.get("do_normalize", True) else map(list, known)
    if not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ConfigError([f"rescale_factor: {factor!r} is no positive number."])
    if any(value <= 0 for value in deviation):
        raise ConfigError([f"image_std: {deviation} must be positive."])
    if abs(255 * factor - 1) > 1e-6:  # ours are between 0 and 1
        mean = [value / (255 * factor) for value in mean]
        deviation = [value / (255 * factor) for value in deviation]
    name = next((n for n, v in STATISTICS.items() if v == (tuple(mean), tuple(deviation))), None)
    if name == "none":
        return []
    step = {"image_mean": mean, "image_std": deviation} if name is None else {"statistics": name}
    return [{"normalize": step}]


def _numbers(value: Any, key: str) -> list[float]:
    """Of three channels, or of one."""
    every = value if isinstance(value, list) else [value] * 3
    if len(every) not in (1, 3) or not all(type(v) in (int, float) for v in every):
        raise ConfigError([f"{key}: {value!r} is neither a number nor three, one a channel."])
    return [float(number) for number in every]


def pixels_file(config: Mapping[str, Any], kind: str, size: Any) -> Pixels:
    """The content of their file; what images are in evaluation counts.

    Args:
        config: our configuration.
        kind: the class of image processors that goes with the model there.
        size: ``image_size`` of theirs.
    """
    pipeline = config.get("images")
    own = pipeline.get("single") if isinstance(pipeline, Mapping) else None
    config = {**config, **(own or {})}
    height, width = size if isinstance(size, list | tuple) else (size, size)
    height, width = config.get("image_height", height), config.get("image_width", width)
    way, notes = config.get("interpolation", "bilinear"), []
    sized: dict[str, int] = {"height": height, "width": width}
    cropped: dict[str, int] | None = None
    normal: dict[str, Any] = {}
    for name, keys in map(_step, config.get("image_preprocess") or ()):
        if name == "resize":
            way = keys.get("interpolation", "bilinear")
            shorter, side = keys.get("shorter"), keys.get("side")
            sized = {"height": side or height, "width": side or width}
            sized = {"shortest_edge": shorter} if shorter else sized
        elif name == "center_crop":
            side = keys.get("side")
            cropped = {"height": side or height, "width": side or width}
        elif name == "random_resized_crop" and height == width:
            way = keys.get("interpolation", "bilinear")
            sized = {"shortest_edge": round(height * _MIDDLE)}
            cropped = {"height": height, "width": width}
        elif name == "normalize":
            normal = _statistics(keys)
        elif name not in _TRAINING_ONLY:
            notes.append(f"image_preprocess: {name} has no counterpart in {FILE} and is left out.")
    if "shortest_edge" in sized and cropped is None:  # here the model's size comes last
        sized = {"height": height, "width": width}
    if (cropped and not kind.startswith((*_CROP, "Beit"))) or "shortest_edge" in sized:
        kind = kind if kind.startswith(_KEEP_SHAPE) else "CLIPImageProcessor"
    number = next(number for number, known in _WAYS.items() if known == way)
    found: dict[str, Any] = {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": sized,
        "resample": number,
        "do_center_crop": cropped is not None,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": bool(normal),
        **normal,
    }
    return Pixels(found | ({"crop_size": cropped} if cropped else {}), notes)


_TRAINING_ONLY = (
    *("horizontal_flip", "color_jitter", "rand_augment", "random_erasing"),
    *("gaussian_blur", "grayscale", "solarize"),
)


def _step(one: Any) -> tuple[str, Mapping[str, Any]]:
    """The name and the keys of a transform."""
    if isinstance(one, str):
        return one, {}
    ((name, keys),) = one.items()
    return name, keys or {}


def _statistics(keys: Mapping[str, Any]) -> dict[str, Any]:
    mean, deviation = STATISTICS[keys.get("statistics", "clip")]
    return {
        "image_mean": keys.get("image_mean") or list(mean),
        "image_std": keys.get("image_std") or list(deviation),
    }
