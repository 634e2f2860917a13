"""Workers make the same batches, in the same order; positions are those of what was handed out."""

import os
import signal

import numpy as np
import pytest
import torch
from pictures import colours, encoded, processor, store
from PIL import Image

from uer.data.bucket_stream import BucketStream
from uer.data.loader import Loader
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError, UserError

PREPROCESS = ["random_resized_crop", "horizontal_flip", "color_jitter", "normalize"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    names = [f"{number}.png" for number in range(11)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(encoded(Image.fromarray(colours(number)), "PNG"))
    (folder / "4.png").write_bytes(b"")
    return store(folder, names, label=np.arange(11) % 3)


def rows(images, **changes):
    made = processor(image_preprocess=PREPROCESS, mixup=0.8, facts={"labels_num": 3})
    options = {"batch_size": 4, "seed": 3, "seq_length": 4, "packing": "off"}
    return TextStream(images, made, **{**options, **changes})


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def loader(images):
    made = Loader(rows(images), 2)
    yield made
    made.close()


def test_workers_change_nothing(images, loader):
    loader.seek(rows(images).position())
    alone = rows(images)
    for _ in range(7):  # more than two epochs
        assert same(alone.next(), loader.next())
        assert alone.position() == loader.position()
    assert [*loader.media_report.counts] == ["empty"]
    for mine, theirs in zip(alone.numbered(), loader.numbered(), strict=True):
        assert mine.numbers.tolist() == theirs.numbers.tolist()
        assert same(mine.batch, theirs.batch)
    assert same(alone.next(), loader.next())
    assert (alone.count(2), alone.tokens()) == (loader.count(2), loader.tokens())
    position = alone.position()
    following = [alone.next() for _ in range(2)]
    loader.seek(position)
    assert loader.instances(position) == alone.instances(position)
    assert all(same(batch, loader.next()) for batch in following)


def test_a_killed_worker_is_a_sentence(images):
    loader = Loader(rows(images), 1)
    loader.next()
    (worker,) = loader.pids()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(UserError, match=r"a worker process died.*--loader_workers"):
        for _ in range(20):
            loader.next()
    loader.close()


def test_there_is_at_least_one(images):
    with pytest.raises(ConfigError, match="loader_workers"):
        Loader(rows(images), 0)


def test_an_image_depends_on_its_number_alone(images):
    """The same instance in another batch, on another rank, has the same pixels."""
    plain = processor(image_preprocess=PREPROCESS, facts={"labels_num": 3})
    together = TextStream(images, plain, batch_size=4, seq_length=4, packing="off", seed=3)
    batches = [together.next()["src.image"] for _ in range(2)]
    ranks = [
        TextStream(
            images, plain, batch_size=2, seq_length=4, packing="off", seed=3, rank=rank, world=2
        )
        for rank in range(2)
    ]
    for batch in batches:
        parts = [stream.next()["src.image"] for stream in ranks]
        assert torch.equal(torch.cat(parts), batch)


def test_torch_goes_on_as_if_nothing_had_been_drawn(images):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    rows(images).next()
    assert torch.equal(torch.rand(3), expected)


def test_epochs_differ_and_ordered_passes_do_not(images):
    stream = BucketStream(images, processor(image_preprocess=PREPROCESS), batch_size=11, seed=1)
    one, two = stream.next(), stream.next()
    assert not torch.equal(
        one["src.image"].sum((1, 2, 3)).sort()[0], two["src.image"].sum((1, 2, 3)).sort()[0]
    )
    assert all(same(a, b) for a, b in zip(stream.once(), stream.once(), strict=True))


def test_an_ordered_pass_leaves_out_what_training_replaces(images):
    stream = BucketStream(images, processor(), batch_size=4, seed=1)
    passed = [numbered.numbers.tolist() for numbered in stream.numbered()]
    assert sorted(number for some in passed for number in some) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    trained = [len(stream.next()["src.image"]) for _ in range(stream.count(1))]
    assert sorted(trained) == [3, 4, 4]


def test_a_batch_of_unreadable_images_is_a_filler(tmp_path):
    names = [f"{number}.png" for number in range(4)]
    for name in names[:2]:
        (tmp_path / name).write_bytes(b"")
    for name in names[2:]:
        (tmp_path / name).write_bytes(encoded(Image.fromarray(colours()), "PNG"))
    made = store(tmp_path, names, label=np.arange(4) % 2)
    stream = BucketStream(made, processor(facts={"labels_num": 2}), batch_size=2, seed=1)
    first, second = stream.numbered()
    assert first.numbers.tolist() == []
    for name in ("labels.cls.index", "labels.cls.value", "src.length", "src.first"):
        assert len(first.batch[name]) == 0
    assert second.numbers.tolist() == [2, 3]


def test_data_without_a_readable_image_end_the_run(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"nothing")
    made = store(tmp_path, [f"{number}.png" for number in range(3)])
    stream = BucketStream(made, processor(), batch_size=2, seed=1)
    with pytest.raises(DataError, match=r"3 images or sounds in a row .* known format"):
        stream.next()
