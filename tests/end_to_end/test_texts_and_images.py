"""Models of texts and images from the command line: data, training, retrieval, classification."""

import logging
import random
import re

import pytest
from PIL import Image
from support import SPECIALS, TINY

from uer.cli.main import run
from uer.config import dump_yaml

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 200, 30),
    "blue": (20, 40, 230),
    "white": (250, 250, 250),
    "black": (5, 5, 5),
    "yellow": (240, 220, 30),
}
PLACES = {"top": (0, 0, 16, 8), "bottom": (0, 8, 16, 16), "left": (0, 0, 8, 16)}
STREAM = {"encoder": "transformer"}
WIDE = {"emb_size": 32, "hidden_size": 32, "feedforward_size": 64}
SHAPE = {**TINY, **WIDE, "layernorm_positioning": "pre", "image_height": 16, "image_width": 16}
CLIP = {
    **SHAPE,
    "data_processor": "clip",
    "seq_length": 8,
    "patch_size": 8,
    "embedding": "dual",
    "encoder": "dual",
    "stream_0": {**STREAM, "embedding": ["word", "pos"], "mask": "causal"},
    "stream_1": {**STREAM, "embedding": ["patch", "pos"]},
    "target": "clr",
    "pooling": "last",
    "pooling_1": "mean",
    "feature_size": 32,
}
SIGLIP = {key: value for key, value in CLIP.items() if key not in ("pooling_1", "feature_size")}
SIGLIP |= {"data_processor": "siglip", "target": "siglip"}
SIGLIP["stream_0"] = {**STREAM, "embedding": ["word", "pos"]}
MODELS = {"clip": CLIP, "siglip": SIGLIP}


def write_pairs(folder, count, *, shuffled=False):
    """Noisy pictures of two colours, ``train.tsv``, and one of each kind, ``test.tsv``."""
    draw = random.Random(1)
    kinds = [(colour, place) for colour in COLOURS for place in PLACES]
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *COLOURS, *PLACES, "a", "part"]) + "\n")
    for table, wanted in (("train", [draw.choice(kinds) for _ in range(count)]), ("test", kinds)):
        captions = [f"a {colour} {place} part" for colour, place in wanted]
        if shuffled and table == "train":
            draw.shuffle(captions)
        lines = []
        for number, ((colour, place), caption) in enumerate(zip(wanted, captions, strict=True)):
            image = Image.effect_noise((16, 16), 30).convert("RGB")
            shade = tuple(min(255, max(0, one + draw.randint(-15, 15))) for one in COLOURS[colour])
            image.paste(shade, PLACES[place])
            image.save(folder / f"{table}{number}.png")
            lines.append(f"{caption}\t{table}{number}.png")
        (folder / f"{table}.tsv").write_text("\n".join(lines) + "\n")


def train(folder, name, steps, *flags):
    """Train on the pairs of a folder; the checkpoint."""
    (folder / "model.yaml").write_text(dump_yaml(MODELS[name]))
    data = ["--corpus_path", folder / "train.tsv", "--dataset_path", folder / "data"]
    command("preprocess", *data, "--vocab_path", folder / "vocab.txt", "--data_processor", name)
    out = ["--output_model_path", folder / name, "--total_steps", steps, "--threads", 1]
    shape = ["--batch_size", 16, "--learning_rate", 3e-3, "--device", "cpu", *flags]
    files = ["--dataset_path", folder / "data", "--config_path", folder / "model.yaml"]
    command("pretrain", *files, *out, *shape)
    return folder / f"{name}-{steps}"


def command(name, *words):
    assert run(name, [str(word) for word in words], name) == 0


def refused(capsys, name, *words):
    """What a command says that refuses."""
    assert run(name, [str(word) for word in words], name) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_pairs(folder, 240)
    return train(folder, request.param, 200)


def said(caplog):
    return "\n".join(record.getMessage() for record in caplog.records)


def recalls(caplog):
    """{direction: [recall, …] in percent}."""
    found = re.findall(r"(\w+ to \w+), \d+ among \d+: (.*?);", said(caplog))
    return {way: [float(n) for n in re.findall(r"([\d.]+) %", text)] for way, text in found}


def test_texts_find_images_and_images_texts(trained, tmp_path, caplog):
    folder = trained.parent
    caplog.set_level(logging.INFO)
    out = tmp_path / "best.tsv"
    rows = ["--test_path", folder / "test.tsv", "--prediction_path", out]
    command("retrieve", "--load_model_path", trained, *rows, "--recall_at", 1, 5, "--threads", 1)
    found = recalls(caplog)
    assert found.keys() == {"text to image", "image to text"}
    for first, fifth in found.values():  # chance: 5.6 and 27.8
        assert 15 <= first <= fifth and fifth >= 70
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert lines[0] == ["text", "images"] and len(lines) == 19
    assert all(len(images.split(" ")) == 5 for _, images in lines[1:])


def test_classes_are_told_by_their_names(trained, tmp_path, caplog):
    folder = tmp_path / "images"
    for colour, shade in COLOURS.items():
        for place, box in PLACES.items():
            (folder / colour).mkdir(parents=True, exist_ok=True)
            image = Image.effect_noise((16, 16), 30).convert("RGB")
            image.paste(shade, box)
            image.save(folder / colour / f"{place}.png")
    (folder / "red" / "broken.png").write_bytes(b"no image")
    caplog.set_level(logging.INFO)
    flags = ["--load_model_path", trained, "--test_path", folder, "--threads", 1]
    flags += [
        "--template",
        "a {} top part",
        "a {} left part",
        "--prediction_path",
        tmp_path / "out",
    ]
    command("zero-shot", *flags)
    text = said(caplog)
    assert "red/broken.png" in text and "1 media were left out" in text
    (share,) = re.findall(r"18 images of 6 classes: accuracy top-1 ([\d.]+) %", text)
    assert float(share) >= 50  # chance: 16.7
    rows = [line.split("\t") for line in (tmp_path / "out").read_text().splitlines()]
    assert rows[0] == ["image", "label", "class"] and len(rows) == 19
    classes = sorted(COLOURS)
    assert all(classes[int(number)] == name for _, number, name in rows[1:])


def test_mistakes_are_said(trained, tmp_path, capsys):
    folder = trained.parent
    model = ["--load_model_path", trained, "--threads", 1]
    rows = [*model, "--test_path", folder / "test.tsv"]
    out = ["--prediction_path", tmp_path / "out"]
    assert "must be at least 1" in refused(capsys, "retrieve", *rows, "--recall_at", 0)
    missing = [*model, "--test_path", tmp_path / "none.tsv"]
    assert "there is no such file or folder" in refused(capsys, "retrieve", *missing)
    wrong = [*rows, *out, "--template", "a photo"]
    assert "there is no {} for the name" in refused(capsys, "zero-shot", *wrong)
    (tmp_path / "labels.tsv").write_text(f"7\t{folder / 'test0.png'}\n")
    labelled = [*model, *out, "--test_path", tmp_path / "labels.tsv", "--media_root", folder]
    assert "--classes_path is needed" in refused(capsys, "zero-shot", *labelled)
    (tmp_path / "names.txt").write_text("red\nblue\n")
    named = [*labelled, "--classes_path", tmp_path / "names.txt"]
    assert "the label 7 is outside 0 … 1, the 2 names" in refused(capsys, "zero-shot", *named)
    (tmp_path / "names.txt").write_text("red\nred\n")
    assert "names of two classes or more" in refused(capsys, "zero-shot", *named)


@pytest.mark.heavy
@pytest.mark.parametrize("name", MODELS)
def test_pairs_are_learnt_and_shuffled_pairs_are_not(name, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    found = {}
    for kind in ("pairs", "shuffled"):
        folder = tmp_path / kind
        folder.mkdir()
        write_pairs(folder, 480, shuffled=kind == "shuffled")
        model = train(folder, name, 300)
        caplog.clear()
        rows = ["--test_path", folder / "test.tsv", "--recall_at", 5, "--threads", 1]
        command("retrieve", "--load_model_path", model, *rows)
        found[kind] = recalls(caplog)
    for way in ("text to image", "image to text"):
        (learnt,), (control,) = (found[kind][way] for kind in ("pairs", "shuffled"))
        assert learnt >= 90 and control <= 60, found  # chance: 27.8
