"""Views of images: each its own, each again the same; from files to a model that learns."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import TINY, model_of

from uer.builder import build
from uer.data.media.references import MediaColumn, Reference
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError
from uer.processors.base import Processor

CROP = {"random_resized_crop": {"scale": [0.3, 1.0]}}
SIZE = {"image_height": 16, "image_width": 16, "patch_size": 8}


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path)


def store_in(folder, rows=6):
    draw = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(rows)]
    for name in names:
        low = draw.integers(0, 255, (5, 5, 3), np.uint8)
        Image.fromarray(low).resize((32, 24)).save(folder / name)
    media = {"image": MediaColumn.of(folder, [Reference(name) for name in names])}
    return Store.in_memory(None, [], media=media)


def processor_of(**keys):
    return build(Processor, "views", **{**SIZE, **keys})


def stream_of(store, batch_size=3, **keys):
    options = {"batch_size": batch_size, "seq_length": 16, "packing": "off", "seed": 1}
    return TextStream(store, processor_of(**keys), **options)


def test_views_differ_and_come_again(store):
    keys = {"images": {"single": {"image_preprocess": [CROP]}}, "global_views": 3}
    batch = stream_of(store, **keys).next()
    views = [batch[f"{side}.image"] for side in ("src", "view.0", "view.1")]
    assert all(view.shape == (3, 3, 16, 16) for view in views)
    assert batch["src.length"].tolist() == batch["view.1.length"].tolist() == [4, 4, 4]
    assert "view.2.image" not in batch
    assert not torch.equal(views[0], views[1]) and not torch.equal(views[1], views[2])
    again = stream_of(store, **keys).next()
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    alone = torch.cat([stream_of(store, 6, **keys).next()["view.1.image"][n : n + 1] for n in (1,)])
    assert torch.equal(alone[0], views[2][1])  # whatever batch it stands in


def test_small_crops_and_the_second_view_have_transforms_of_their_own(store):
    whole = {"single": {"image_preprocess": []}}
    dark = {"single": {"image_preprocess": [{"solarize": {"solarize_rate": 1.0}}]}}
    small = {"single": {"image_height": 8, "image_width": 8, "image_preprocess": [CROP]}}
    keys = {"images": whole, "second_images": dark, "local_images": small, "local_views": 2}
    batch = stream_of(store, **keys).next()
    turned = torch.where(batch["src.image"] < 0.5, batch["src.image"], 1 - batch["src.image"])
    away = (turned - batch["view.0.image"]).abs()
    assert away.median() < 0.01  # sizes are changed behind it, so edges differ
    assert batch["view.1.image"].shape == batch["view.2.image"].shape == (3, 3, 8, 8)
    assert batch["view.1.length"].tolist() == [1, 1, 1]


def test_an_ordered_pass_has_nothing_random(store):
    keys = {"images": {"single": {"image_preprocess": [CROP]}}}
    (batch, *_) = stream_of(store, **keys).once()
    assert torch.equal(batch["src.image"], batch["view.0.image"])


def test_an_image_that_cannot_be_read_is_replaced(tmp_path):
    store = store_in(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no image")
    stream = stream_of(store, batch_size=6)
    batch = stream.next()
    assert batch["view.0.image"].shape[0] == 6
    assert "no image of a known format" in stream.media_report.line()


def test_what_makes_no_sense_is_refused(store):
    for keys, word in (
        ({"global_views": 0}, "global_views"),
        ({"local_views": 2}, "local_images"),
        ({"second_images": {"single": {"image_height": 8}}}, "one size"),
    ):
        with pytest.raises(ConfigError, match=word):
            processor_of(**keys)
    text = Store.in_memory(None, [], media={"sound": store.media["image"]})
    with pytest.raises(DataError, match="image"):
        stream_of(text).next()


@pytest.mark.parametrize("target", ["dino", "byol"])
def test_a_vision_transformer_reads_them(store, target):
    model = model_of(
        {
            **{key: value for key, value in TINY.items() if key != "max_seq_length"},
            **SIZE,
            "embedding": {"sum": {"parts": ["patch", "pos"], "max_seq_length": 5}},
            "encoder": "transformer",
            "target": target,
            "projection_hidden_size": 8,
            "projection_size": 8,
            **({"prototypes_num": 6} if target == "dino" else {}),
            "teacher": {"copy": "model"},
        }
    ).train()
    small = {"single": {"image_height": 8, "image_width": 8, "image_preprocess": [CROP]}}
    keys = {"images": {"single": {"image_preprocess": [CROP]}}, "local_images": small}
    batch = stream_of(store, local_views=2, **keys).next()
    score = model(batch)[target]
    assert model.weights(batch)[target] == 3 and torch.isfinite(score.loss_sum)
    score.loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
