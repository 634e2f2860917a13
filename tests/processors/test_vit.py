"""Labelled images as instances: what the batch holds, and what is refused."""

import numpy as np
import pytest
import torch
from fake_store import make_processor, random_store

pytest.importorskip("PIL", reason="images need the extra 'vision'")
from PIL import Image

from uer.data.media.references import MediaColumn, Reference
from uer.data.randomness import Draw
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError
from uer.processors.base import Prepared, processors

SIZES = {"image_height": 8, "image_width": 12, "patch_size": 4}
VALUES = [10, 60, 110, 160, 210]


def vit(**keys):
    return make_processor("vit", facts={"labels_num": 3}, **{**SIZES, **keys})


@pytest.fixture
def images(tmp_path):
    """Images of one grey each."""
    for number, value in enumerate(VALUES):
        Image.new("RGB", (20, 20), (value,) * 3).save(tmp_path / f"{number}.png")
    return MediaColumn.of(tmp_path, [Reference(f"{number}.png") for number in range(5)])


def store_of(images, **columns):
    return Store.in_memory(None, [], columns, {"image": images})


def stream_of(store, processor, **changes):
    options = {"batch_size": 3, "seq_length": 6, "packing": "off", "seed": 1}
    return TextStream(store, processor, **{**options, **changes})


def test_pixels_patches_and_labels_belong_together(images):
    store = store_of(images, label=np.array([0, 1, 2, 0, 1]))
    batch = stream_of(store, vit()).next()
    assert batch["src.image"].shape == (3, 3, 8, 12)
    assert batch["src.length"].tolist() == [6, 6, 6]
    assert batch.tokens() == 18
    assert batch["labels.cls.index"].tolist() == [0, 1, 2]
    greys = (batch["src.image"][:, 0, 0, 0] * 255).round().int().tolist()
    labels = [[0, 1, 2, 0, 1][VALUES.index(grey)] for grey in greys]
    assert batch["labels.cls.value"].tolist() == labels
    assert {name for name in batch if "labels" not in name} == {"src.image", "src.length"}


def test_what_is_provided_is_what_is_promised(images):
    store = store_of(images, label=np.arange(5) % 3)
    processor = vit()
    instances = processor.index(store, Draw(1, 0))
    read = processor.read(store, instances, np.arange(5), Draw(1, 0), ordered=True)
    provided = {f"labels.{name}" for name in read.prepared.row_labels}
    provided |= read.prepared.arrays.keys() - {"src.length"}
    assert provided == processors.get("vit").provides


def test_rows_without_labels(images):
    batch = next(stream_of(store_of(images), vit()).once())
    assert not [name for name in batch if name.startswith("labels")]


def test_soft_labels_pass_through(images):
    soft = np.eye(5, 3, dtype=np.float32) * 0.5 + 1 / 6
    passes = list(stream_of(store_of(images, label=soft), vit()).once())
    made = torch.cat([batch["labels.cls.value"] for batch in passes])
    np.testing.assert_allclose(made.numpy(), soft)


def test_an_instance_does_not_depend_on_its_batch(images):
    store = store_of(images, label=np.arange(5) % 3)
    processor = vit(image_preprocess=["random_resized_crop", "normalize"])
    instances, draw = processor.index(store, Draw(1, 0)), Draw(1, 0)

    def read(which):
        some = np.array(which)
        return processor.read(store, instances, some, draw, ordered=False).prepared

    parts, whole = Prepared.join([read([3]), read([1, 4])]), read([3, 1, 4])
    assert np.array_equal(parts.arrays["src.image"], whole.arrays["src.image"])
    assert parts.row_labels["cls"].tolist() == whole.row_labels["cls"].tolist()


def test_nothing_is_mixed_in_an_ordered_pass(images):
    store = store_of(images, label=np.arange(5) % 3)
    mixed = stream_of(store, vit(mixup=0.8))
    assert mixed.next()["labels.cls.value"].shape == (3, 3)
    assert next(mixed.once())["labels.cls.value"].tolist() == [0, 1, 2]


def test_a_store_of_texts_is_refused():
    with pytest.raises(DataError, match=r"'vit' reads images, and the data have none"):
        vit().index(random_store(3), Draw(1, 0))


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"patch_size": 9}, "larger than an image of 8 x 12"), ({"mixup": -0.1}, "negative")],
)
def test_wrong_values_are_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        vit(**keys)
