"""Transforms of a configuration, beside torchvision's own and beside hand-made pixels."""

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="images need the extra 'vision'")
from PIL import Image
from torchvision.transforms import v2

from uer.builder import build
from uer.data.media.references import MediaError
from uer.errors import ConfigError
from uer.transforms.base import Transform, transforms

SIZE = (12, 16)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
TENSOR = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
THEIRS = {
    "random_resized_crop": v2.RandomResizedCrop(SIZE),
    "horizontal_flip": v2.RandomHorizontalFlip(),
    "color_jitter": v2.ColorJitter(0.4, 0.4, 0.4, 0.0),
    "rand_augment": v2.RandAugment(2, 9),
    "center_crop": v2.CenterCrop(SIZE),
    "random_erasing": v2.RandomErasing(0.25, value="random"),
    "normalize": v2.Normalize(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ),
}


def pixels(image):
    return np.asarray(image) if isinstance(image, Image.Image) else image.numpy()


@pytest.mark.parametrize("name", THEIRS)
def test_training_does_what_torchvision_does(name):
    part = build(Transform, name)
    source = TENSOR if part.on_tensor else PICTURE
    for seed in range(6):
        results = []
        for apply in (part.training(SIZE, 3), THEIRS[name]):
            torch.manual_seed(seed)
            results.append(pixels(apply(source.clone() if part.on_tensor else source)))
        np.testing.assert_allclose(*results, atol=1e-6)


@pytest.mark.parametrize("name", transforms.names())
def test_nothing_is_random_in_evaluation(name):
    part = build(Transform, name)
    apply = part.ordered(SIZE, 3)
    assert (apply is None) == (part.random and name != "random_resized_crop")
    if apply is not None:
        source = TENSOR if part.on_tensor else PICTURE
        made = [pixels(apply(source.clone() if part.on_tensor else source)) for _ in range(2)]
        assert (made[0] == made[1]).all()


def test_evaluation_looks_at_the_middle():
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[4:60, 10:86] = 200  # 7/8 of the largest part of the shape 12 : 16
    apply = build(Transform, "random_resized_crop").ordered(SIZE, 3)
    made = np.asarray(apply(Image.fromarray(picture)))
    assert made.shape == (*SIZE, 3)
    assert (made == 200).all()


def test_the_shorter_side_is_resized_as_torchvision_does():
    apply = build(Transform, "resize", shorter=25).training(SIZE, 3)
    theirs = v2.Resize(25)(PICTURE)
    assert apply(PICTURE).size == theirs.size
    assert (np.asarray(apply(PICTURE)) == np.asarray(theirs)).all()
    assert build(Transform, "resize").training(SIZE, 3)(PICTURE).size == (16, 12)


def test_an_elongated_image_does_not_fill_the_memory():
    apply = build(Transform, "resize", shorter=256).training(SIZE, 3)
    with pytest.raises(MediaError, match="too elongated"):
        apply(Image.new("RGB", (1, 2_000)))


def test_grey_takes_the_mean_of_the_colours():
    apply = build(Transform, "normalize", statistics="imagenet").training(SIZE, 1)
    made = apply(torch.full((1, 2, 2), 0.5))
    mean, deviation = np.mean([0.485, 0.456, 0.406]), np.mean([0.229, 0.224, 0.225])
    np.testing.assert_allclose(made.numpy(), (0.5 - mean) / deviation, rtol=1e-5)


def test_wrong_values_are_refused():
    with pytest.raises(ConfigError, match="shorter"):
        build(Transform, "resize", shorter=0)
