"""Reading what a detector found in an image: features and boxes of its regions."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import MediaError, Medium

MAX_NUMBERS = 1 << 24  # of a file
_HEADERS = 1 << 20
_NAMES = {"regions": ("regions", "features", "x"), "boxes": ("boxes", "bbox")}


def open_regions(medium: Medium, most: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read a file of numpy's (``.npz``) with the arrays ``regions`` and ``boxes``.

    The headers are looked at first, so nothing big is ever decompressed; nothing in the file can be
    a program.

    Args:
        medium: where it lies.
        most: regions that are kept, from the first: detectors put the surest first.

    Returns:
        float32 [R, N] features and [R, K] numbers of the boxes.

    Raises:
        MediaError: there are no such arrays in it, or they are not finite, or too many.
    """
    content = medium.read(8 * MAX_NUMBERS + _HEADERS)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            found = {name: _array(file, name) for name in _NAMES}
    except MediaError:
        raise
    except Exception as error:  # damaged files make the readers fail in any way
        raise MediaError("no file of regions", f"{type(error).__name__}: {error}"[:200]) from error
    regions, boxes = found["regions"], found["boxes"]
    if len(regions) != len(boxes) or not len(regions):
        raise MediaError("no region, or not one box for each", f"{len(regions)}, {len(boxes)}")
    if not (np.isfinite(regions).all() and np.isfinite(boxes).all()):
        raise MediaError("not finite")
    return regions[:most], boxes[:most]


def _array(file: zipfile.ZipFile, name: str) -> NDArray[np.float32]:
    """float32 [R, …] of the archive."""
    members = {member.removesuffix(".npy"): member for member in file.namelist()}
    known = next((one for one in _NAMES[name] if one in members), None)
    if known is None:
        raise MediaError("without regions and boxes", ", ".join(members)[:200])
    with file.open(members[known]) as stream:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream)
        if len(shape) != 2 or dtype.kind not in "fiu":
            raise MediaError("no table of numbers", f"{known}: {shape}, {dtype}")
        if shape[0] * shape[1] > MAX_NUMBERS:
            raise MediaError("too many numbers", f"{known}: {shape}")
        content = stream.read(shape[0] * shape[1] * dtype.itemsize)
    if len(content) < shape[0] * shape[1] * dtype.itemsize:
        raise MediaError("truncated", known)
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return np.array(values, np.float32, order="C")  # of its own: bytes cannot be written to
