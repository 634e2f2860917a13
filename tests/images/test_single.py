"""The pipeline from a file to pixels, beside the same steps of torchvision."""

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="images need the extra 'vision'")
from PIL import Image
from torchvision.transforms import v2

from uer.builder import Planner, build
from uer.data.media.references import Medium, Reference
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.images.base import Images, torch_draws
from uer.processors.base import Processor

SIZES = {"image_height": 12, "image_width": 16}
DRAW = Draw(3, 1)


@pytest.fixture
def medium(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    return Medium(str(tmp_path), Reference("0.png"))


def test_training_pixels_are_those_of_torchvision(medium):
    ours = build(
        Images,
        "single",
        **SIZES,
        image_preprocess=[
            "random_resized_crop",
            "horizontal_flip",
            {"normalize": {"statistics": "imagenet"}},
            "random_erasing",
        ],
    )
    theirs = v2.Compose(
        [
            v2.RandomResizedCrop((12, 16)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            v2.RandomErasing(0.25, value="random"),
        ]
    )
    for number in range(8):
        made = ours(medium, DRAW, number, ordered=False)
        with torch_draws(DRAW, "image 0", number):
            expected = theirs(Image.open(f"{medium.root}/0.png"))
        np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


def test_evaluation_pixels_are_those_of_torchvision(medium):
    steps = [{"resize": {"shorter": 20}}, "center_crop", {"normalize": {"statistics": "half"}}]
    ours = build(Images, "single", **SIZES, image_preprocess=steps)
    theirs = v2.Compose(
        [
            v2.Resize(20),
            v2.CenterCrop((12, 16)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,), (0.5,)),
        ]
    )
    expected = theirs(Image.open(f"{medium.root}/0.png"))
    made = ours(medium, DRAW, 0, ordered=True)
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


def test_views_of_an_image_differ_and_come_again(medium):
    ours = build(Images, "single", **SIZES, image_preprocess=["random_resized_crop"])
    views = [ours(medium, DRAW, 5, ordered=False, view=view) for view in (0, 1, 0)]
    assert not np.array_equal(views[0], views[1])
    assert np.array_equal(views[0], views[2])


@pytest.mark.parametrize("channels", [1, 3])
def test_without_transforms_an_image_is_resized(medium, channels):
    ours = build(Images, "single", **SIZES, channels_num=channels)
    made = ours(medium, DRAW, 0, ordered=False)
    picture = Image.open(f"{medium.root}/0.png").convert({1: "L", 3: "RGB"}[channels])
    expected = np.asarray(picture.resize((16, 12), Image.Resampling.BILINEAR)) / 255
    assert made.shape == (channels, 12, 16)
    np.testing.assert_allclose(made, expected.reshape(12, 16, channels).transpose(2, 0, 1), 1e-6)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"channels_num": 2}, "1 channel"),
        ({"image_height": 0}, "positive"),
        ({"image_preprocess": ["normalize", "horizontal_flip"]}, "behind all others"),
        ({"image_preprocess": ["crop_at_random"]}, "no transform is called"),
    ],
)
def test_wrong_values_are_refused(keys, message):
    planner = Planner({"data_processor": "vit", **SIZES, **keys})
    with pytest.raises(ConfigError, match=message):
        plan = planner.choice("data_processor", Processor)
        planner.finish()
        plan.build({})
