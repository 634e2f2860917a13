"""`uer caption`, `uer paint` and `uer codes` from the command line, on models of one update."""

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="images need the extra 'vision'")
import torch
from PIL import Image
from support import SPECIALS

from uer.cli.main import run
from uer.data.media.references import MediaColumn, Reference
from uer.data.store import Store
from uer.generation.images import Painter
from uer.generation.sampling import Sampling
from uer.image_tokenizer import ImageTokenizer

COLOURS = {"red": 0, "green": 1, "blue": 2}
WORDS = ["a", "square", *COLOURS]
SIZES = {"hidden_size": 32, "emb_size": 32, "feedforward_size": 64, "heads_num": 2}
IMAGE = {"image_height": 16, "image_width": 16, "patch_size": 8, "max_seq_length": 4}
REGIONS = {"region_size": 8, "region_hidden_size": 32, "box_size": 4}
TRAINING = ("--batch_size", "6", "--threads", "1", "--learning_rate", "5e-3")


def call(command, *words):
    return run(command, [str(word) for word in words], command)


def flags(*tables):
    return [
        word for table in tables for key, value in table.items() for word in (f"--{key}", value)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one colour with captions, and regions whose first features say the colour."""
    made = tmp_path_factory.mktemp("captions")
    draw = np.random.default_rng(0)
    images, regions = [], []
    for number in range(12):
        name, place = list(COLOURS.items())[number % 3]
        pixels = draw.integers(0, 60, (16, 16, 3))
        pixels[..., place] += 190
        Image.fromarray(pixels.astype(np.uint8)).save(made / f"{number}.png")
        features = draw.normal(0, 0.3, (1 + number % 4, 8)).astype(np.float32)
        features[:, place] += 4
        boxes = draw.random((len(features), 4), np.float32)
        np.savez(made / f"{number}.npz", regions=features, boxes=boxes)
        images.append(f"a {name} square\t{number}.png")
        regions.append(f"a {name} square\t{number}.npz")
    np.savez(made / "wide.npz", regions=np.ones((2, 9)), boxes=np.ones((2, 4)))
    (made / "vocab.txt").write_text("\n".join([*SPECIALS, *WORDS]) + "\n")
    (made / "images.tsv").write_text("\n".join(["text\tpath", *images]) + "\n")
    (made / "regions.tsv").write_text("\n".join(["text\tpath", *regions]) + "\n")
    return made


@pytest.fixture(scope="module")
def captioner(folder):
    """A model of regions that has learnt its few captions."""
    words = ("--vocab_path", folder / "vocab.txt", "--data_processor", "vlp")
    data, model = folder / "regions.ds", folder / "vlp"
    # A file of another width beside the others does not end the run.
    table = (folder / "regions.tsv").read_text() + "a red square\twide.npz\n"
    (folder / "with_wide.tsv").write_text(table)
    corpus = folder / "with_wide.tsv"
    assert call("preprocess", "--corpus_path", corpus, "--dataset_path", data, *words) == 0
    keys = flags(SIZES, REGIONS, {"layers_num": 1, "seq2seq_rate": 1.0, "mask_rate": 0.5})
    assert (
        call(
            *("pretrain", "--config_path", "vlp/base", "--dataset_path", data, *keys, *TRAINING),
            *("--output_model_path", model, "--total_steps", 150, "--dropout", 0),
        )
        == 0
    )
    return folder / "vlp-150"


@pytest.fixture(scope="module")
def painters(folder):
    """An image tokenizer, and models that paint: both ways, and from texts only."""
    words = ("--vocab_path", folder / "vocab.txt", "--data_processor", "dalle")
    data, tokenizer = folder / "images.ds", folder / "tokenizer"
    keys = flags(SIZES, IMAGE, {"layers_num": 1, "codebook_size": 16, "code_size": 4})
    corpus = ("--corpus_path", folder / "images.tsv", "--dataset_path", data)
    assert call("preprocess", *corpus, *words, "--codes_num", 16) == 0
    assert call("preprocess", *corpus[:3], folder / "views", "--data_processor", "views") == 0
    training = (*TRAINING, "--total_steps", 2)
    made = ("--config_path", "image_tokenizer/base", "--dataset_path", folder / "views")
    assert call("pretrain", *made, *keys, *training, "--output_model_path", tokenizer) == 0
    codes = ("--load_model_path", folder / "tokenizer-2", "--dataset_path", data)
    assert call("codes", *codes) == 0
    keys = flags(SIZES, {"layers_num": 1, "codes_num": 16, "seq_length": 16})
    for name in ("talk2face", "dalle"):
        words = ("--config_path", f"{name}/base", "--dataset_path", data, *keys, *training)
        assert call("pretrain", *words, "--output_model_path", folder / name) == 0
    return folder / "tokenizer-2"


def captions(folder, model, table, *more):
    place = folder / "captions.txt"
    place.unlink(missing_ok=True)
    words = ("--load_model_path", model, "--test_path", table, "--prediction_path", place)
    status = call("caption", *words, "--threads", 1, *more)
    return status, place.read_text().splitlines() if place.exists() else None


@pytest.mark.parametrize("beam_width", [1, 3])
def test_captions_are_written(folder, captioner, beam_width):
    more = ("--beam_width", beam_width, "--batch_size", 5)
    status, written = captions(folder, captioner, folder / "regions.tsv", *more)
    lines = (folder / "regions.tsv").read_text().splitlines()[1:]  # without the line of names
    assert status == 0 and written == [line.split("\t")[0] for line in lines]


def test_lines_of_captions_are_those_of_the_table(folder, captioner, caplog):
    paths = ["0.npz", "", "wide.npz", "missing.npz", "images.tsv", "../1.npz", "4.npz"]
    (folder / "paths.txt").write_text("\n".join(paths) + "\n")
    status, written = captions(folder, captioner, folder / "paths.txt", "--batch_size", 2)
    assert status == 0 and written == ["a red square", *[""] * 5, "a green square"]
    assert "row 3, wide.npz: of another width (9; region_size 8)" in caplog.text
    (folder / "paths.txt").write_text("missing.npz\n")
    status, written = captions(folder, captioner, folder / "paths.txt")
    assert status == 2 and written is None


def paint(folder, model, *words):
    given = ("--load_model_path", folder / f"{model}-2", "--image_tokenizer_path")
    return call("paint", *given, folder / "tokenizer-2", "--threads", 1, *words)


def test_images_are_numbered_by_lines(folder, painters):
    (folder / "texts.txt").write_text("a red square\n\na blue square\n")
    words = ("--text_prefix_path", folder / "texts.txt", "--samples_num", 2)
    place = folder / "painted"
    assert paint(folder, "dalle", *words, "--prediction_path", place) == 0
    found = sorted(path.name for path in place.iterdir())
    assert found == ["1-1.png", "1-2.png", "3-1.png", "3-2.png"]
    with Image.open(place / "1-1.png") as picture:
        assert picture.size == (16, 16)


@pytest.mark.parametrize("prompt", ["to_caption", "to_attributes"])
def test_texts_are_written_for_images(folder, painters, prompt):
    images = [folder / f"{number}.png" for number in range(3)]
    words = ("--prompt", prompt, "--image_prefix_path", *images, "--samples_num", 4)
    place = folder / "texts.tsv"
    assert paint(folder, "talk2face", *words, "--prediction_path", place) == 0
    rows = [line.split("\t") for line in place.read_text().splitlines()]
    assert [row[0] for row in rows] == [str(image) for image in images for _ in range(4)]
    assert all(set(text.split()) <= {*WORDS, "[UNK]"} for _, text in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prompt", "to_caption"), "--image_prefix_path is needed"),
        (("--prompt", "to_caption", "--image_prefix_path", "vocab.txt"), "no image of a known"),
        (("--prompt", "to_caption", "--image_prefix_path", "none.png"), "none.png: this image"),
        (("--text_prefix_path", "images.tsv", "--prediction_path", "vocab.txt"), "cannot be made"),
    ],
)
def test_what_cannot_be_painted_is_said(folder, painters, capsys, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    assert paint(folder, "talk2face", "--prediction_path", "made", *words) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_never_wrote_texts_is_refused(folder, painters, capsys):
    words = ("--prompt", "to_caption", "--image_prefix_path", folder / "0.png")
    assert paint(folder, "dalle", *words, "--prediction_path", folder / "made") == 2
    assert "never learnt to make texts for images" in capsys.readouterr().err


def test_one_image_has_the_codes_that_the_data_set_has(folder, painters):
    made = ImageTokenizer(painters)
    codes = Store.open(folder / "images.ds").columns["codes"]
    for number in (0, 7):
        medium = MediaColumn.of(folder, [Reference(f"{number}.png")])[0]
        assert made.of_image(medium).tolist() == codes[number].tolist()


def test_marks_are_never_drawn_into_texts(monkeypatch):
    painter = Painter(
        model=None, patches=2, codes_num=2, vocab_size=8, cls_id=2, sep_id=3, never=[0, 2, 4]
    )
    monkeypatch.setattr(Painter, "_following", lambda self, ids, *_, **__: torch.zeros(len(ids), 8))
    generator = torch.Generator().manual_seed(0)
    rows = painter.texts(torch.tensor([0, 1]), 50, Sampling(), generator, max_length=9)
    assert {one for row in rows for one in row} == {1, 5}


@pytest.mark.parametrize("name", ["a/b", "../codes", "", "x.bin"])
def test_names_of_columns_stay_in_their_folder(folder, painters, capsys, name):
    words = ("--load_model_path", painters, "--dataset_path", folder / "images.ds")
    assert call("codes", *words, "--column", name) == 2
    assert "cannot be a column's name" in capsys.readouterr().err
