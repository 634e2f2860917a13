"""Whatever stands in an image file: it is decoded, or named with a reason; memory is bounded."""

import resource

import numpy as np
import pytest
from pictures import bomb, kinds, processor, store

from uer.data.text_stream import TextStream

COUNT = 1000


def mutated(random, files):
    """One file, intact or broken in some way."""
    content = bytearray(files[random.integers(len(files))])
    way = random.integers(9)
    if way == 1:
        del content[random.integers(len(content)) :]
    elif way == 2:
        content = bytearray()
    elif way == 3:
        content = bytearray(random.bytes(random.integers(1, 200)))
    elif way in (4, 5):  # flipped bits
        for place in random.integers(len(content), size=random.integers(1, 12)):
            content[place] ^= 1 << random.integers(8)
    elif way == 6:  # a hole
        start = random.integers(len(content))
        del content[start : start + random.integers(1, 50)]
    elif way == 7:  # two files in one
        other = files[random.integers(len(files))]
        content = content[: random.integers(len(content))] + other[random.integers(len(other)) :]
    elif way == 8:
        content = bytearray(bomb(*random.integers(9_000, 60_000, 2).tolist()))
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fuzzed")
    random, files = np.random.default_rng(11), list(kinds().values())
    for number in range(COUNT):
        (made / f"{number}.jpg").write_bytes(mutated(random, files))
    return made


def test_every_fuzzed_image_is_decoded_or_named(folder):
    names = [f"{number}.jpg" for number in range(COUNT)]
    made = processor(max_image_pixels=1 << 20)
    stream = TextStream(
        store(folder, names), made, batch_size=50, seq_length=4, packing="off", seed=1
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded = []
    for numbered in stream.numbered():
        image = numbered.batch["src.image"]
        assert image.shape[1:] == (3, 16, 16)
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
        decoded += numbered.numbers.tolist()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200, "MB; a header may promise gigabytes"
    named = stream.media_report._seen
    assert {names[number] for number in decoded} | named == set(names)
    assert not {names[number] for number in decoded} & named
    reasons = stream.media_report.counts
    assert {"empty", "too many pixels", "no image of a known format", "truncated"} <= set(reasons)
    assert reasons.total() == len(named)
    assert len(decoded) > COUNT / 5 and len(named) > COUNT / 3


def test_training_goes_on_with_the_next_image_that_can_be_read(folder):
    names = [f"{number}.jpg" for number in range(COUNT)]
    made = processor(image_preprocess=["random_resized_crop", "rand_augment", "normalize"])
    stream = TextStream(
        store(folder, names), made, batch_size=50, seq_length=4, packing="off", seed=1
    )
    assert all(len(stream.next()["src.image"]) == 50 for _ in range(4))
