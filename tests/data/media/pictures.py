"""Small images of every kind, made on the spot."""

import io
import struct
import zlib

import numpy as np
import pytest

pytest.importorskip("PIL", reason="images need the extra 'vision'")
from PIL import Image

from uer.builder import Planner
from uer.data.media.references import MediaColumn, Reference
from uer.data.store import Store
from uer.processors.base import Processor


def colours(seed=0, size=(20, 24)):
    """uint8 [H, W, 3] of smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BILINEAR))


def encoded(image, kind, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def kinds():
    """Files of every kind that a strange data set may hold, by name."""
    rgb = Image.fromarray(colours())
    grey, alpha = rgb.convert("L"), rgb.copy()
    alpha.putalpha(grey)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    see_through = grey.copy()
    return {
        "rgb.png": encoded(rgb, "PNG"),
        "rgb.jpg": encoded(rgb, "JPEG"),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "turned.jpg": encoded(rgb, "JPEG", exif=exif),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "cmyk.tif": encoded(rgb.convert("CMYK"), "TIFF"),
        "grey.png": encoded(grey, "PNG"),
        "grey.jpg": encoded(grey, "JPEG"),
        "one_bit.png": encoded(rgb.convert("1"), "PNG"),
        "wide.png": encoded(wide, "PNG"),
        "wide.tif": encoded(wide, "TIFF"),
        "wide.pgm": encoded(wide, "PPM"),
        "alpha.png": encoded(alpha, "PNG"),
        "alpha.webp": encoded(alpha, "WEBP"),
        "grey_alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "palette.png": encoded(rgb.convert("P"), "PNG"),
        "palette_alpha.png": encoded(rgb.convert("P"), "PNG", transparency=3),
        "grey_see_through.png": encoded(see_through, "PNG", transparency=100),
        "animated.gif": encoded(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)] * 2),
        "animated.webp": encoded(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
        "float.tif": encoded(grey.convert("F"), "TIFF"),
        "bmp.bmp": encoded(rgb, "BMP"),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
    }


def bomb(width=60_000, height=60_000):
    """A PNG of a few bytes whose header promises billions of pixels."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def store(folder, names, **columns):
    """A store that refers to files of a folder."""
    column = MediaColumn.of(folder, [Reference(name) for name in names])
    return Store.in_memory(None, [], columns, {"image": column})


def processor(name="vit", facts=None, **keys):
    """A processor of small images."""
    sizes = {"image_height": 16, "image_width": 16, "patch_size": 8}
    planner = Planner({"data_processor": name, **sizes, **keys})
    plan = planner.choice("data_processor", Processor)
    planner.finish()
    return plan.build(facts or {})
