"""How images become pixels: preprocessor_config.json and our transforms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uer.interop.huggingface.weights import read_json
from uer.transforms.normalize import STATISTICS

FILE = "preprocessor_config.json"
_WAYS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def read_pixels(folder: Path) -> dict[str, Any]:
    """Our keys of a processor of images; none where the folder says nothing, or nothing we have.

    A size is the model's; statistics that no name of ours stands for are left out.
    """
    if not (folder / FILE).is_file():
        return {}
    theirs, found = read_json(folder / FILE), {}
    name = statistics_of(theirs)
    if name is not None:
        found["image_preprocess"] = [{"normalize": {"statistics": name}}]
    way = _WAYS.get(theirs.get("resample", 2))
    if theirs.get("do_resize", True) and way not in (None, "bilinear"):
        found["interpolation"] = way
    return found


def statistics_of(theirs: Mapping[str, Any]) -> str | None:
    """What we call their mean and standard deviation."""
    if not theirs.get("do_normalize", True):
        return None
    given = tuple(tuple(theirs.get(key) or ()) for key in ("image_mean", "image_std"))
    return next((name for name, values in STATISTICS.items() if values == given), None)


def pixels_file(config: Mapping[str, Any], size: Any) -> dict[str, Any]:
    """The content of their file.

    Args:
        config: our configuration.
        size: ``image_size`` of theirs.
    """
    height, width = size if isinstance(size, list | tuple) else (size, size)
    found: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": next(
            number
            for number, way in _WAYS.items()
            if way == config.get("interpolation", "bilinear")
        ),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
    }
    for one in config.get("image_preprocess") or ():
        chosen = {one: {}} if isinstance(one, str) else one
        if "normalize" in chosen:
            name = (chosen["normalize"] or {}).get("statistics", "clip")
            mean, deviation = STATISTICS[name]
            found |= {"image_mean": list(mean), "image_std": list(deviation)}
            found["do_normalize"] = True
    return found
