"""Where a command takes a checkpoint, `zoo:NAME` is a model of the zoo."""

import functools

import pytest
from fake_hub import FILES, REPO

from uer.cli.main import run
from uer.errors import UserError
from uer.zoo import resolve as module
from uer.zoo.hub import cached, fetch
from uer.zoo.manifest import Entry
from uer.zoo.resolve import resolve

TINY = Entry(
    name="tiny", family="bert", repo=REPO, licence="mit", config="huggingface", about="a test's"
)


@pytest.fixture
def zoo(hub, tmp_path, monkeypatch):
    """The zoo holds one model, which the test's hub serves."""
    place = {"cache": str(tmp_path / "cache")}
    monkeypatch.setattr(module, "find_entry", {"tiny": TINY}.__getitem__)
    monkeypatch.setattr(module, "cached", functools.partial(cached, **place))
    monkeypatch.setattr(module, "fetch", functools.partial(fetch, endpoint=hub.endpoint, **place))
    return hub


@pytest.mark.parametrize("path", [None, "models/mine.bin", "zoo", "./zoo:tiny"])
def test_other_paths_stay(path):
    assert resolve(path) == path


def test_a_model_is_fetched_once_and_then_taken_from_the_cache(zoo, tmp_path):
    folder = resolve("zoo:tiny")
    assert folder.startswith(str(tmp_path))
    zoo.requests.clear()
    assert resolve("zoo:tiny") == folder and zoo.requests == []


def test_a_damaged_model_is_fetched_again(zoo, tmp_path):
    folder = resolve("zoo:tiny")
    (tmp_path / folder / "vocab.txt").resolve().write_bytes(b"[PAD]")
    assert resolve("zoo:tiny") == folder
    assert (tmp_path / folder / "vocab.txt").read_bytes() == FILES["vocab.txt"]


def test_an_unknown_name():
    with pytest.raises(UserError, match="no model 'gpt22'; did you mean 'gpt2'"):
        resolve("zoo:gpt22")


def flags(command, corpus, vocabulary, tmp_path):
    if command == "pretrain":
        made = ["--corpus_path", corpus, "--vocab_path", vocabulary, "--dataset_path"]
        assert run("preprocess", [*map(str, made), str(tmp_path / "data")], "preprocess") == 0
        written = ["--output_model_path", str(tmp_path / "out"), "--total_steps", "1"]
        return ["--dataset_path", str(tmp_path / "data"), *written, "--pretrained_model_path"]
    rows = tmp_path / "rows.tsv"
    rows.write_text("text_a\tlabel\nthe cat\t0\nthe dog\t1\n")
    if command == "finetune":
        return ["classifier", "--train_path", str(rows), "--pretrained_model_path"]
    written = ["--prediction_path", str(tmp_path / "out.tsv")]
    return ["classifier", "--test_path", str(rows), *written, "--load_model_path"]


@pytest.mark.parametrize("command", ["pretrain", "finetune", "infer"])
def test_commands_get_the_folder(command, corpus, vocabulary, tmp_path, monkeypatch, capfd):
    given = flags(command, corpus, vocabulary, tmp_path)
    assert run(command, [*given, "zoo:gpt22"], command) == 2
    assert "the zoo has no model 'gpt22'; did you mean 'gpt2'" in capfd.readouterr().err
    place = tmp_path / "cached" / "snapshot"  # not there: what a command says of it names it
    module = "infer" if command == "infer" else "origin"
    monkeypatch.setattr(f"uer.cli.{module}.resolve", {"zoo:gpt2": str(place)}.__getitem__)
    assert run(command, [*given, "zoo:gpt2"], command) == 2
    assert str(place) in capfd.readouterr().err.splitlines()[-1]
