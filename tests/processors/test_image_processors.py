"""mae, beit and vilt: from images on disk to batches."""

import numpy as np
import pytest
import torch
from fake_store import FACTS, make_processor
from PIL import Image
from support import SPECIALS, WORDS

from uer.builder import build
from uer.data.media.references import MediaColumn, Reference
from uer.data.preprocess import preprocess_media
from uer.data.randomness import Draw
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError
from uer.processors._patch_masks import blocks, split_at_random
from uer.processors.base import Processor
from uer.tokenizers.base import Tokenizer

SIZE = {"image_height": 16, "image_width": 24, "patch_size": 4}  # 4 x 6 patches
P = 24


def store_in(folder, rows=6, **columns):
    names = [f"{number}.png" for number in range(rows)]
    for number, name in enumerate(names):
        Image.new("RGB", (24, 16), (40 * number, 0, 0)).save(folder / name)
    media = {"image": MediaColumn.of(folder, [Reference(name) for name in names])}
    return Store.in_memory(None, [], columns=columns, media=media)


def processor_of(name, **keys):
    return build(Processor, name, **{**SIZE, **keys})


def stream_of(store, processor, batch_size=3, **keys):
    options = {"batch_size": batch_size, "seq_length": P, "packing": "off", "seed": 1, **keys}
    return TextStream(store, processor, **options)


def red(image):
    """Which of the images of `store_in` it is."""
    return (image[:, 0].mean((1, 2)) * 255 / 40).round().int().tolist()


# ----------------------------------------------------------------------------------------- mae


def test_mae_reads_some_patches_and_predicts_the_others(tmp_path):
    batch = stream_of(store_in(tmp_path), processor_of("mae", image_mask_rate=0.75)).next()
    assert batch["src.image"].shape == (3, 3, 16, 24)
    visible, index = batch["src.visible"], batch["labels.pixel.index"]
    assert visible.shape == (3, 6) and index.shape == (3 * 18,)
    every = torch.cat([(visible + torch.arange(3)[:, None] * P).flatten(), index])
    assert torch.equal(every.sort().values, torch.arange(3 * P))
    assert (visible.diff(dim=1) > 0).all() and batch["src.length"].tolist() == [P] * 3


def test_what_is_hidden_depends_on_the_instance_alone():
    draw = Draw(1, 0)
    together, _ = split_at_random(draw, np.arange(4), P, 6)
    alone, _ = split_at_random(draw, np.array([2]), P, 6)
    assert np.array_equal(together[2], alone[0])
    assert len({tuple(row) for row in together}) == 4
    later, _ = split_at_random(Draw(1, 1), np.arange(4), P, 6)
    assert not np.array_equal(together, later)


def test_every_patch_is_hidden_as_often():
    visible, _ = split_at_random(Draw(0, 0), np.arange(4000), P, 6)
    share = np.bincount(visible.ravel(), minlength=P) / 4000
    assert np.abs(share - 0.25).max() < 0.03


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.5])
def test_rates_that_hide_nothing_or_all_are_refused(rate):
    for name, keys in (("mae", {}), ("beit", {"codes_num": 9})):
        with pytest.raises(ConfigError, match="must be between 0 and 1"):
            processor_of(name, image_mask_rate=rate, **keys)
    with pytest.raises(ConfigError, match="patch_size: 32 is larger than an image"):
        processor_of("mae", patch_size=32)


# ---------------------------------------------------------------------------------------- beit


def test_blocks_hide_as_many_patches_of_every_image():
    made = blocks(Draw(3, 0), np.arange(300), (14, 14), 75)
    assert made.shape == (300, 196) and set(made.sum(1)) == {75}
    assert np.array_equal(blocks(Draw(3, 0), np.array([7]), (14, 14), 75)[0], made[7])
    # Hidden patches stand together: a neighbour is hidden more often than 75 in 196.
    grids = made.reshape(-1, 14, 14)
    right = (grids[:, :, :-1] & grids[:, :, 1:]).sum() / grids[:, :, :-1].sum()
    assert right > 0.7
    assert made.any(0).all() and not made.all(0).any()  # corners seldom, the middle often


@pytest.mark.parametrize(("grid", "hidden"), [((1, 2), 1), ((2, 9), 17), ((14, 14), 195)])
def test_blocks_of_odd_sizes(grid, hidden):
    made = blocks(Draw(0, 0), np.arange(20), grid, hidden)
    assert set(made.sum(1)) == {hidden}


def test_beit_predicts_the_codes_of_what_is_hidden(tmp_path):
    codes = np.arange(6 * P).reshape(6, P) % 50
    codes[4] = -1  # an image that could not be read
    store = store_in(tmp_path, codes=codes)
    processor = processor_of("beit", image_mask_rate=0.25, codes_num=50)
    seen = []
    for batch in stream_of(store, processor, 5).once():
        masked, rows = batch["src.masked"], red(batch["src.image"])
        assert masked.dtype == torch.bool and masked.sum(1).tolist() == [6] * len(rows)
        index, value = batch["labels.codes.index"], batch["labels.codes.value"]
        assert torch.equal(index, masked.flatten().nonzero()[:, 0])
        wanted = torch.from_numpy(codes)[rows].flatten()[index]
        assert torch.equal(value, wanted)
        seen += rows
    assert seen == [0, 1, 2, 3, 5]


def test_codes_of_another_tokenizer_are_refused(tmp_path):
    def refused(match, store, **keys):
        with pytest.raises(DataError, match=match):
            processor_of("beit", **{"codes_num": 50, **keys}).index(store, Draw(0, 0))

    refused("let an image tokenizer write them", store_in(tmp_path))
    refused("12 codes per image, but", store_in(tmp_path, codes=np.zeros((6, 12), np.int64)))
    refused("go up to 50, but codes_num", store_in(tmp_path, codes=np.full((6, P), 50)))


# ---------------------------------------------------------------------------------------- vilt

CAPTIONS = ["the cat sees here", "a dog", "red house under tree and river now", "small bird"]


@pytest.fixture
def captions(tmp_path):
    lines = []
    for number, caption in enumerate(CAPTIONS):
        Image.new("RGB", (24, 16), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(f"{caption}\t{number}.png")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def stored(folder):
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in [*SPECIALS, *WORDS]))
    tokenizer = build(Tokenizer, "bert", vocab_path=str(folder / "vocab.txt"))
    preprocess_media(
        [folder / "pairs.tsv"],
        folder / "data",
        tokenizer=tokenizer,
        corpus_format="captioned_images",
    )
    return Store.open(folder / "data"), tokenizer


def vilt(facts=FACTS, **keys):
    size = {"image_height": 16, "image_width": 24, "seq_length": 6}
    return make_processor("vilt", facts=facts, **{**size, **keys})


def test_captions_are_masked_beside_their_own_or_anothers_image(captions):
    store, tokenizer = stored(captions)
    stream = stream_of(store, vilt(tokenizer.facts()), 4, seq_length=6)
    outcomes = set()
    for _ in range(12):
        batch = stream.next()
        ids = batch["src.ids"].clone().flatten()
        index, value = batch["labels.mlm.index"], batch["labels.mlm.value"]
        ids[index] = value
        whole = ids.view(4, -1)
        first = [[tokenizer.vocabulary[n] for n in row][1] for row in whole.tolist()]
        own = [["the", "[UNK]", "red", "small"].index(word) for word in first]
        wrong = [a != b for a, b in zip(own, red(batch["src.image"]), strict=True)]
        assert batch["labels.sp.value"].tolist() == [int(w) for w in wrong]
        outcomes |= set(wrong)
        assert (whole[:, 0] == tokenizer.special["cls"]).all() and whole.shape[1] == 6
    assert outcomes == {True, False}


def test_another_row_with_the_same_picture_is_no_wrong_image(captions):
    (captions / "pairs.tsv").write_text("the cat\t0.png\na dog\t0.png\nred house\t1.png\n" * 20)
    store, tokenizer = stored(captions)
    instances = vilt(tokenizer.facts(), wrong_image_rate=1.0).index(store, Draw(0, 0))
    picture = np.tile([0, 0, 1], 20)
    image = instances.media["image"]
    wrong = instances.fields["wrong"]
    assert (picture[image] != picture)[wrong].all()
    assert (image == np.arange(60))[~wrong].all() and wrong.mean() > 0.7


def test_a_share_of_wrong_images_that_is_none_is_refused(captions):
    with pytest.raises(ConfigError, match=r"wrong_image_rate: 1.5 is not in \[0, 1\]"):
        vilt(wrong_image_rate=1.5)
    _, tokenizer = stored(captions)
    media = {"image": MediaColumn.of(captions, [Reference("0.png")])}
    store = Store.in_memory(tokenizer, [["a dog"]], media=media)
    with pytest.raises(DataError, match="the data hold one"):
        vilt(tokenizer.facts()).index(store, Draw(0, 0))
