"""ELECTRA, ProphetNet and MPNet from the command line: pre-train, resume, fine-tune, look at."""

import json

import pytest
import torch
from support import TINY, table

from uer.cli.main import run
from uer.config import dump_yaml, load_config
from uer.training.checkpoint import read_weights

SMALL = {**TINY, "dropout": 0.1}
GENERATOR = {"hidden_size": 8, "feedforward_size": 16, "heads_num": 1, "layers_num": 1}
CHANGES = {
    "electra/small": {**SMALL, "seq_length": 32},
    "prophetnet/large": {
        **SMALL,
        "seq_length": 40,
        "tgt_seq_length": 12,
        "mask_block": 16,
        "decoder_layers_num": 2,
    },
    "mpnet/base": {**SMALL, "seq_length": 70},
}
LOSSES = {
    "electra/small": {"generator.mlm.loss", "rtd.loss", "rtd.recall"},
    "prophetnet/large": {"ngram.loss", "ngram.accuracy", "ngram.accuracy_2"},
    "mpnet/base": {"mlm.loss"},
}


def go(command, **flags):
    """Call a command; a task is its first word."""
    positional = [str(flags.pop("task"))] if "task" in flags else []
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    assert run(command, [*positional, *words], f"uer {command}") == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory, corpus, vocabulary):
    folder = tmp_path_factory.mktemp("data")
    go(
        "preprocess", corpus_path=corpus, vocab_path=vocabulary, processes_num=1,
        dataset_path=folder / "dataset.pt", data_processor="mlm", tokenizer="space",
    )  # fmt: skip
    return folder / "dataset.pt"


def written(folder, name):
    """The shipped configuration, made small."""
    config = {**load_config(name), **CHANGES[name]}
    if "generator" in config:
        config["generator"] = {**config["generator"], **GENERATOR}
    path = folder / "config.yaml"
    path.write_text(dump_yaml(config))
    return path


def pretrain(folder, data, config, steps, **flags):
    go(
        "pretrain", dataset_path=data, config_path=config, eval_dataset_path=data,
        output_model_path=folder / "model", total_steps=4, save_checkpoint_steps=2,
        report_steps=2, batch_size=4, learning_rate="1e-3", threads=1, precision="fp32",
        device="cpu", log_path=folder / "log.jsonl", **flags,
    )  # fmt: skip
    return read_weights(folder / f"model-{steps}")


@pytest.mark.parametrize("name", CHANGES)
def test_pretraining_can_be_resumed_bit_for_bit(name, tmp_path, data):
    config = written(tmp_path, name)
    whole = pretrain(tmp_path, data, config, 4)
    reports = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    reported = set().union(*reports)
    assert reported >= LOSSES[name] | {f"eval/{figure}" for figure in LOSSES[name]}
    assert all(value == value for report in reports for value in report.values())
    again = tmp_path / "again"
    again.mkdir()
    resumed = pretrain(again, data, config, 4, resume_from_checkpoint=tmp_path / "model-2")
    assert resumed.keys() == whole.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key
    first = read_weights(tmp_path / "model-2")
    assert any(not torch.equal(value, first[key]) for key, value in whole.items())


def test_a_classifier_takes_the_discriminator_only(tmp_path, data):
    pretrain(tmp_path, data, written(tmp_path, "electra/small"), 4)
    rows = tmp_path / "train.tsv"
    rows.write_text(table(24))
    go(
        "finetune", task="classifier", pretrained_model_path=tmp_path / "model-4",
        train_path=rows, dev_path=rows, output_model_path=tmp_path / "classifier",
        epochs_num=1, batch_size=8, seq_length=32, threads=1, device="cpu",
    )  # fmt: skip
    weights = read_weights(tmp_path / "classifier")
    assert not [name for name in weights if "generator" in name or "rtd" in name]
    assert weights["embedding.parts.word.weight"].shape[1] == 16
    assert "generator" not in load_config(tmp_path / "classifier" / "config.yaml")


def test_a_classifier_takes_the_encoder_only(tmp_path, data):
    pretrain(tmp_path, data, written(tmp_path, "prophetnet/large"), 4)
    rows = tmp_path / "train.tsv"
    rows.write_text(table(24))
    go(
        "finetune", task="classifier", pretrained_model_path=tmp_path / "model-4",
        train_path=rows, output_model_path=tmp_path / "classifier", learning_rate="1e-9",
        epochs_num=1, batch_size=8, seq_length=32, threads=1, device="cpu",
    )  # fmt: skip
    weights, before = read_weights(tmp_path / "classifier"), read_weights(tmp_path / "model-4")
    assert {name.split(".")[0] for name in weights} == {"embedding", "encoder", "targets"}
    for name in weights.keys() & before.keys():
        torch.testing.assert_close(weights[name], before[name], rtol=0, atol=1e-6)
    assert len(weights.keys() - before.keys()) == 4  # the head
    go(
        "infer", task="classifier", load_model_path=tmp_path / "classifier", test_path=rows,
        prediction_path=tmp_path / "out.tsv", threads=1, device="cpu",
    )  # fmt: skip
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 25


@pytest.mark.parametrize("name", CHANGES)
def test_they_can_be_looked_at(name, tmp_path, capsys):
    assert run("inspect", [str(written(tmp_path, name)), "--batch_size", "2"], "uer inspect") == 0
    counted = "a source token" if name.startswith("prophetnet") else "a token"
    assert f"floating-point operations {counted}" in capsys.readouterr().out
    for part in ("rtd", "ngram", "mpnet", "prophetnet", "generator", "block"):
        assert run("explain", [part], "uer explain") == 0
    said = capsys.readouterr().out
    assert "target 'rtd'" in said and "decoder 'prophetnet'" in said
