"""Images from the command line: preprocessing, pre-training, a task, inference, inspection."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="images need the extra 'vision'")
from PIL import Image

from uer.cli.main import run
from uer.components import embeddings
from uer.registry import load_plugin

PLUGIN = str(Path(__file__).parents[1] / "data" / "media" / "tiny_patch.py")
CONFIG = """\
data_processor: vit
embedding: [tiny_patch]
remove_embedding_layernorm: true
encoder: transformer
target: [cls]
emb_size: 16
hidden_size: 16
feedforward_size: 32
heads_num: 2
layers_num: 1
dropout: 0.0
max_seq_length: 17
image_height: 16
image_width: 16
patch_size: 8
image_preprocess: [random_resized_crop, horizontal_flip, {normalize: {statistics: half}}]
"""
TRAINING = ("--learning_rate", "3e-3", "--batch_size", "8", "--threads", "1")


@pytest.fixture(scope="module", autouse=True)
def tiny_patch():
    """An embedding of patches, known to this file only."""
    load_plugin(PLUGIN)
    yield
    del embeddings._plugins["tiny_patch"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of images of one colour, as folders and as tables; one file is damaged."""
    made = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    rows = []
    for number in range(24):
        name = f"{('blue', 'red')[number % 2]}/{number}.png"
        pixels = random.integers(0, 90, (12, 12, 3))
        pixels[..., 2 * (1 - number % 2)] += 150
        (made / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(made / name)
        rows.append((number % 2, name))
    (made / rows[2][1]).write_bytes(b"damaged")
    lines = [f"{label}\t{name}" for label, name in rows]
    (made / "rows.tsv").write_text("\n".join(["label\tpath", *lines]) + "\n")
    (made / "paths.tsv").write_text("\n".join(["path", *(name for _, name in rows)]) + "\n")
    (made / "config.yaml").write_text(CONFIG)
    return made


def call(command, *words):
    assert run(command, [str(word) for word in words], command) == 0


@pytest.fixture(scope="module")
def trained(folder):
    """A data set and a model pre-trained on it."""
    data = folder.parent / "data"
    call("preprocess", "--corpus_path", folder, "--dataset_path", data, "--data_processor", "vit")
    call(
        *("pretrain", "--dataset_path", data, "--config_path", folder / "config.yaml"),
        *("--output_model_path", folder.parent / "model"),
        *("--media_report_path", folder.parent / "left_out.tsv", "--total_steps", 30),
        *("--eval_dataset_path", data, "--log_path", folder.parent / "log.jsonl", *TRAINING),
    )
    return folder.parent / "model-30"


def test_pre_training_learns_and_names_what_it_could_not_read(folder, trained):
    last = (folder.parent / "log.jsonl").read_text().splitlines()[-1]
    assert '"eval/cls.accuracy": 1.0' in last
    rows = (folder.parent / "left_out.tsv").read_text().splitlines()
    assert rows == ["path\treason\tdetail", "blue/2.png\tno image of a known format\t"]
    assert not (trained / "tokenizer").exists()


def test_a_probe_and_its_predictions(folder, trained, caplog):
    caplog.set_level("INFO")
    model = folder.parent / "probe"
    table = folder / "rows.tsv"
    call(
        *("finetune", "image_classifier", "--pretrained_model_path", trained),
        *("--freeze", "embedding", "encoder"),
        *("--train_path", table, "--dev_path", table, "--test_path", table, "--epochs_num", 10),
        *("--output_model_path", model, "--seq_length", 128, *TRAINING),
    )
    assert "--seq_length has no effect: there is no text." in caplog.messages
    assert "accuracy 1.0000 (23/23)" in caplog.text
    assert "1 media were left out: 1 no image of a known format." in caplog.text
    predicted = folder.parent / "predicted.tsv"
    call(
        *("infer", "image_classifier", "--load_model_path", model),
        *("--test_path", folder / "paths.tsv", "--prediction_path", predicted, "--output_prob"),
    )
    head, *rows = predicted.read_text().split("\n")[:-1]
    assert head == "label\tprob"
    assert rows[2] == "\t"
    read = [row.split("\t") for number, row in enumerate(rows) if number != 2]
    assert [int(label) for label, _ in read] == [n % 2 for n in range(24) if n != 2]
    assert all(re.fullmatch(r"\S+ \S+", prob) for _, prob in read)


def test_inspect_shows_images(folder, capsys):
    call("inspect", folder / "config.yaml", "--batch_size", 2)
    text = capsys.readouterr().out
    assert "2 rows of 3 x 16 x 16, 8 real tokens" in text


@pytest.mark.parametrize("module", ["PIL", "torchvision.transforms.v2"])
def test_without_the_extra_the_command_names_it(folder, trained, monkeypatch, capsys, module):
    monkeypatch.setitem(sys.modules, module, None)
    words = ["--dataset_path", folder.parent / "data", "--config_path", folder / "config.yaml"]
    words += ["--output_model_path", folder.parent / "none", "--total_steps", 1, *TRAINING]
    assert run("pretrain", [str(word) for word in words], "pretrain") == 2
    assert capsys.readouterr().err.endswith(
        "images need the extra 'vision': pip install 'uer[vision]'.\n"
    )


def test_paths_out_of_the_folder_are_refused(folder, capsys):
    table = folder / "outside.tsv"
    table.write_text("label\tpath\n0\tblue/0.png\n1\t../other.png\n")
    words = ["image_classifier", "--train_path", str(table)]
    assert run("finetune", [*words, "--config_path", str(folder / "config.yaml")], "finetune") == 2
    assert re.search(r"outside.tsv:3: the path '../other.png' leads out", capsys.readouterr().err)
