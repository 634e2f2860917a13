"""Each kind of image is decoded right: compared with its pixels before they were written."""

import io

import numpy as np
import pytest
from pictures import bomb, colours, encoded, kinds
from PIL import Image

from uer.data.media.image import open_image
from uer.data.media.references import MediaError, Medium, Reference

ORIGINAL = colours().astype(int)
GREY = np.asarray(Image.fromarray(colours()).convert("L")).astype(int)


def decoded(tmp_path, content, channels=3, **limits):
    (tmp_path / "file").write_bytes(content)
    image = open_image(Medium(str(tmp_path), Reference("file")), channels, **limits)
    return np.asarray(image).astype(int)


def far(one, other):
    return np.abs(one - other).mean()


@pytest.mark.parametrize("name", ["rgb.png", "bmp.bmp", "lossless.webp"])
def test_pixels_without_loss_are_the_same(tmp_path, name):
    assert (decoded(tmp_path, kinds()[name]) == ORIGINAL).all()


@pytest.mark.parametrize(
    "name", ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "cmyk.tif", "animated.gif", "animated.webp"]
)
def test_other_kinds_are_close(tmp_path, name):
    assert far(decoded(tmp_path, kinds()[name]), ORIGINAL) < 6


@pytest.mark.parametrize("name", ["grey.png", "wide.png", "wide.tif", "wide.pgm"])
def test_grey_of_8_and_16_bits_is_exact(tmp_path, name):
    assert (decoded(tmp_path, kinds()[name], channels=1) == GREY).all()
    assert (decoded(tmp_path, kinds()[name]) == GREY[..., None]).all()


def test_what_is_transparent_shows_white(tmp_path):
    share = GREY[..., None] / 255
    expected = ORIGINAL * share + 255 * (1 - share)
    assert far(decoded(tmp_path, kinds()["alpha.png"]), expected) < 1
    of_grey = GREY * share[..., 0] + 255 * (1 - share[..., 0])
    assert far(decoded(tmp_path, kinds()["grey_alpha.png"], channels=1), of_grey) < 1


def test_a_transparent_colour_shows_white(tmp_path):
    palette = Image.fromarray(colours()).convert("P")
    hole = np.asarray(palette) == 3
    made = decoded(tmp_path, encoded(palette, "PNG", transparency=3))
    assert (made[hole] == 255).all()
    assert (made[~hole] == np.asarray(palette.convert("RGB"))[~hole]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_is_held_upright(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(colours()), "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert (decoded(tmp_path, content) == np.asarray(expected)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, world", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (bomb(), "too many pixels"),
        (bomb(12_000, 12_000), "too many pixels"),
        (kinds()["rgb.png"][:-60], "truncated"),
        (kinds()["float.tif"], "pixels of an unknown range"),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(tmp_path, content, reason):
    with pytest.raises(MediaError) as caught:
        decoded(tmp_path, content)
    assert caught.value.reason == reason


def test_limits_are_keys(tmp_path):
    content = kinds()["rgb.png"]
    assert decoded(tmp_path, content, max_pixels=20 * 24).shape == (20, 24, 3)
    with pytest.raises(MediaError, match="too many pixels"):
        decoded(tmp_path, content, max_pixels=20 * 24 - 1)


def test_files_outside_of_the_root_are_not_read(tmp_path):
    (tmp_path / "secret.png").write_bytes(kinds()["rgb.png"])
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(MediaError, match="outside of the root"):
            open_image(Medium(str(inside), Reference(name)), 3)


def test_a_missing_file_and_a_folder_have_reasons(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, reason in (("nothing.png", "no such file"), ("folder", "cannot be opened")):
        with pytest.raises(MediaError, match=reason):
            open_image(Medium(str(tmp_path), Reference(name)), 3)
