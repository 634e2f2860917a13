"""Reading one image, whoever made it: a picture of the wanted channels, or a reason why not.

The header is looked at first, so nothing big is ever decoded; only formats whose readers are safe
for files of strangers are tried (Pillow's reader of PostScript, for one, starts a program).
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from uer.data.media.references import MediaError, Medium
from uer.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MODES = {1: "L", 3: "RGB"}  # by channels
MAX_PIXELS = 1 << 26
_BYTES_PER_PIXEL = 8  # of four channels of 16 bits, without compression
_HEADERS = 1 << 24  # room for what stands around the pixels
_ORIENTATION = 0x0112  # of EXIF
_WHITE = 255


def open_image(medium: Medium, channels: int, max_pixels: int = MAX_PIXELS) -> Any:
    """Decode an image.

    Of an animation it is the first frame; an orientation that the camera noted (EXIF) is applied;
    what is transparent shows white; 16 bits become 8 by rounding.

    Args:
        medium: where it lies.
        channels: 1 (grey) or 3 (red, green, blue).
        max_pixels: images with more are refused before they are decoded.

    Returns:
        A `PIL.Image.Image` of mode L or RGB.

    Raises:
        MediaError: there is no image of such a kind in it.
        UserError: Pillow is not installed.
    """
    pillow = require_pillow()
    content = medium.read(_BYTES_PER_PIXEL * max_pixels + _HEADERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about doubtful metadata, and big images
        try:
            with pillow.Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _require_size(image.size, max_pixels)
                image.load()
                return _upright(_in_mode(image, MODES[channels]), _orientation(image))
        except MediaError:
            raise
        except pillow.UnidentifiedImageError as error:
            raise MediaError("no image of a known format") from error
        except pillow.Image.DecompressionBombError as error:
            raise MediaError("too many pixels", str(error)) from error
        except MemoryError as error:
            raise MediaError("needs too much memory") from error
        except Exception as error:  # damaged files make its readers fail in any way
            reason = "truncated" if "truncated" in str(error).lower() else "damaged"
            raise MediaError(reason, f"{type(error).__name__}: {error}"[:200]) from error


def require_pillow() -> Any:
    """The library Pillow.

    Raises:
        UserError: it is not installed.
    """
    try:
        import PIL
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise UserError("images need the extra 'vision': pip install 'uer[vision]'.") from error
    return PIL


def _require_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise MediaError(
            "too many pixels", f"{width:,} x {height:,}; max_image_pixels {max_pixels:,}"
        )


def _in_mode(image: Any, mode: str) -> Any:
    """The image in 8 bits without transparency."""
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_16_bits(image).convert(mode)
    if image.mode in ("I", "F"):
        raise MediaError("pixels of an unknown range", f"mode {image.mode}")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = require_pillow().Image.new("RGBA", image.size, (_WHITE,) * 4)
        white.alpha_composite(image)
        image = white
    return image.convert(mode)


def _from_16_bits(image: Any) -> Any:
    """Grey of 8 bits; 65,535 becomes 255."""
    wide = np.asarray(image).astype(np.float32)
    return require_pillow().Image.fromarray(np.rint(wide / 257).clip(0, 255).astype(np.uint8))


def _orientation(image: Any) -> int:
    """How the camera was held; damaged metadata say nothing."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # its readers fail in any way, too
        return 1


def _upright(image: Any, orientation: int) -> Any:
    """The image as the camera was held."""
    turn = require_pillow().Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    way = turns.get(orientation)
    return image if way is None else image.transpose(way)
