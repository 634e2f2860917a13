"""Flags that decide how a model is trained, from the command line to the checkpoint."""

import json
import logging
from types import SimpleNamespace

import pytest
from safetensors import safe_open
from support import MLM

from uer.cli.main import run
from uer.cli.pretrain import _best_high
from uer.config import dump_yaml
from uer.targets.vq import VectorQuantisation
from uer.training.checkpoint import load_trainer_state


@pytest.fixture(scope="module")
def data(tmp_path_factory, vocabulary, corpus):
    folder = tmp_path_factory.mktemp("options")
    (folder / "tiny.yaml").write_text(dump_yaml(MLM))
    words = ["--corpus_path", corpus, "--vocab_path", vocabulary, "--data_processor", "mlm"]
    words += ["--dataset_path", folder / "data"]
    assert run("preprocess", [str(word) for word in words], "preprocess.py") == 0
    return folder


@pytest.fixture
def train(data, tmp_path, caplog):
    def attempt(**flags):
        """Train; the checkpoint at the end."""
        given = {
            "dataset_path": data / "data",
            "config_path": data / "tiny.yaml",
            "output_model_path": tmp_path / "model",
            "batch_size": 4,
            "threads": 1,
            "learning_rate": 1e-3,
            **flags,
        }
        caplog.set_level(logging.INFO)
        words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
        assert run("pretrain", words, "pretrain.py") == 0
        (folder,) = tmp_path.iterdir()
        return folder

    return attempt


@pytest.mark.parametrize("optimizer", ["adafactor", "lamb", "muon", "sgd"])
def test_every_optimizer_trains_and_its_state_is_kept(train, optimizer):
    folder = train(optimizer=optimizer, total_steps=2, scheduler="wsd", label_smoothing=0.1)
    state = load_trainer_state(folder)
    quantities = {name.partition("/")[0] for name in state.optimizer}
    assert (
        quantities
        == {
            "adafactor": {"updates", "row", "column", "square"},
            "lamb": {"updates", "exp_avg", "exp_avg_sq"},
            "muon": {"momentum_buffer", "step", "exp_avg", "exp_avg_sq"},
            "sgd": {"momentum_buffer"},
        }[optimizer]
    )
    text = (folder / "config.yaml").read_text()
    assert f"optimizer: {optimizer}" in text and "scheduler: wsd" in text


def test_a_run_goes_on_with_its_own_optimizer(train, caplog, capsys):
    folder = train(optimizer="sgd", total_steps=1)
    flags = {"resume": folder, "total_steps": 2}
    with pytest.raises(AssertionError):
        train(**flags, optimizer="lamb")
    assert f"--optimizer lamb: {folder} holds the state of sgd" in capsys.readouterr().err
    with pytest.raises(ValueError, match="too many values"):  # two checkpoints now
        train(**flags, optimizer="sgd", momentum=0.5, dropout=0.3)
    assert "another one than" in caplog.text and "momentum 0.5 (was unset)" in caplog.text


def test_an_epoch_and_a_running_mean(train, caplog):
    folder = train(epochs=1, ema_decay=0.9, layerwise_decay=0.8)
    state = load_trainer_state(folder)
    assert state.progress.position["epoch"] == 1
    assert state.settings["total_steps"] == state.progress.step < 100
    assert f"epochs ends after {state.progress.step} updates" in caplog.text
    names = []
    for file in ("ema.safetensors", "model.safetensors"):
        with safe_open(folder / file, "pt") as tensors:
            names.append(set(tensors.keys()))
    assert names[0] == names[1]


def test_tokens(train, caplog):
    folder = train(max_tokens=300, total_steps=50)
    assert 2 <= load_trainer_state(folder).progress.step <= 4
    assert "max_tokens ends after" in caplog.text and "before update 1: loss" in caplog.text


def words(data, path, **flags):
    given = {
        "dataset_path": data / "data",
        "config_path": data / "tiny.yaml",
        "output_model_path": path,
        "batch_size": 4,
        "threads": 1,
        "total_steps": 4,
        "save_checkpoint_steps": 2,
        **flags,
    }
    return [str(word) for name, value in given.items() for word in (f"--{name}", value)]


def test_a_run_goes_on_from_its_newest_checkpoint(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "model"
    flags = words(data, path, resume="auto")
    assert run("pretrain", flags, "pretrain.py") == 0
    assert f"there is no checkpoint {path}-<step> to go on from: the run begins" in caplog.text
    weights = (tmp_path / "model-4" / "model.safetensors").read_bytes()
    (tmp_path / "model-4" / "trainer" / "optimizer.safetensors").write_bytes(b"half")
    assert run("pretrain", flags, "pretrain.py") == 0
    assert "left out: " in caplog.text and "resumed from" in caplog.text
    assert f"resumed from {path}-2 after update 2" in caplog.text
    assert (tmp_path / "model-4" / "model.safetensors").read_bytes() == weights
    caplog.clear()
    assert run("pretrain", flags, "pretrain.py") == 0
    assert f"{path}-4 has done all 4 updates" in caplog.text and "resumed" not in caplog.text


def test_the_best_by_a_metric_is_kept(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    flags = {"eval_dataset_path": data / "data", "keep_checkpoints": 1, "learning_rate": 1e-2}
    flags |= {"metric_for_best_model": "mlm.accuracy", "save_checkpoint_steps": 1}
    log = tmp_path / "log.jsonl"
    assert run("pretrain", words(data, tmp_path / "m", log_path=log, **flags), "pretrain.py") == 0
    reports = [json.loads(line) for line in log.read_text().splitlines()]
    found = {r["step"]: r["eval/mlm.accuracy"] for r in reports if "eval/mlm.accuracy" in r}
    progress = load_trainer_state(tmp_path / "m-4").progress
    saved = {step: found[step] for step in range(1, 5)}
    assert progress.best == max(saved.values()) and saved[progress.best_step] == progress.best
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"m-4", f"m-{progress.best_step}"}
    caplog.clear()
    again = words(data, tmp_path / "m", **flags, resume="auto")
    again[again.index("mlm.accuracy")] = "loss"
    again[again.index("--total_steps") + 1] = "5"
    assert run("pretrain", again, "pretrain.py") == 0
    assert "the best so far was by mlm.accuracy: by loss it begins anew" in caplog.text
    progress = load_trainer_state(tmp_path / "m-5").progress
    assert (progress.best_by, progress.best_step) == ("loss", 5) and progress.best > 1
    flags["metric_for_best_model"] = "f1"
    assert run("pretrain", words(data, tmp_path / "n", **flags), "pretrain.py") == 2


@pytest.mark.parametrize("figure", ["loss", "vq.loss", "vq.pixel_error"])
def test_errors_are_best_low(figure):
    model = SimpleNamespace(heads={"vq": VectorQuantisation})
    assert not _best_high(figure, model)
    assert _best_high("vq.perplexity", model)
