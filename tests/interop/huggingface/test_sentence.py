"""Folders of sentence-transformers, made here around a model of transformers."""

import json

import pytest
import torch
import transformers as hf
from comparing import close, model_of
from support import SPECIALS, WORDS, table
from test_families import rows
from tiny import bert

from uer.batch import Batch
from uer.cli.main import main
from uer.config import load_config
from uer.errors import CheckpointError, ConfigError
from uer.interop.convert import read_checkpoint
from uer.interop.pretrained import load_pretrained
from uer.layers.pooling import pool


def modules(folder, *kinds):
    named = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(named))


@pytest.fixture
def theirs(tmp_path):
    """Mean pooling behind a BERT in a folder of its own."""
    folder = tmp_path / "theirs"
    (folder / "0_Transformer").mkdir(parents=True)
    model = bert(folder / "0_Transformer", "BertModel", add_pooling_layer=False)
    pooling(folder, pooling_mode_mean_tokens=True, pooling_mode_cls_token=False)
    modules(folder, ("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
    return folder, model


def pooling(folder, **ways):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    stored = {"word_embedding_dimension": 16, **ways}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(stored))


def test_both_streams_are_the_model(theirs):
    folder, model = theirs
    made = read_checkpoint(folder)
    ours = model_of(made.config)
    report = load_pretrained(ours, folder)
    assert all(name.startswith("targets.clr") for name in report.missing)
    assert all("pooler" in name for name in report.unexpected)
    fields, expected = {}, []
    for stream, lengths in enumerate([[6, 4], [5, 7]]):
        ids, real = rows(lengths, stream)
        ids = ids % (len(SPECIALS) + len(WORDS))
        side = {"ids": ids, "validity": real, "length": real.sum(1)}
        fields |= {f"src.{stream}.{name}": value for name, value in side.items()}
        with torch.no_grad():
            hidden = model(ids, attention_mask=real.long()).last_hidden_state
        expected.append((hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True))
    with torch.no_grad():
        states = ours.states(Batch(fields))
    for stream, vectors in zip(states.streams, expected, strict=True):
        close(pool(stream, made.config["pooling"]), vectors)


def test_there_and_back_again(theirs, tmp_path):
    folder, model = theirs
    ours, again = tmp_path / "ours", tmp_path / "again"
    assert main(["convert", str(folder), str(ours)]) == 0
    assert main(["convert", str(ours), str(again)]) == 0
    found = hf.AutoModel.from_pretrained(again, add_pooling_layer=False).state_dict()
    for name, tensor in model.state_dict().items():
        assert name.startswith("pooler") or torch.equal(found[name], tensor)
    first, second = read_checkpoint(folder).config, read_checkpoint(again).config
    assert first["pooling"] == "mean" and {**first, "about": 0} == {**second, "about": 0}
    assert hf.AutoTokenizer.from_pretrained(again).tokenize("the cat") == ["the", "cat"]


def test_what_is_written_makes_unit_vectors_as_clr_does(theirs, tmp_path):
    folder, _ = theirs
    ours, again = tmp_path / "ours", tmp_path / "again"
    assert main(["convert", str(folder), str(ours)]) == 0
    assert main(["convert", str(ours), str(again)]) == 0
    stored = json.loads((again / "modules.json").read_text())
    kinds = [one["type"].rpartition(".")[2] for one in stored]
    assert kinds == ["Transformer", "Pooling", "Normalize"]
    assert all((again / one["path"]).is_dir() for one in stored)
    assert "&" not in (ours / "config.yaml").read_text()  # both streams are written out


def test_a_classifier_starts_from_the_one_model(theirs, tmp_path, caplog):
    folder, _ = theirs
    rows, trained = tmp_path / "rows.tsv", tmp_path / "trained"
    rows.write_text(table(8))
    flags = ["--train_path", rows, "--output_model_path", trained, "--epochs_num", 1]
    caplog.set_level("INFO")
    start = ["finetune", "classifier", "--pretrained_model_path"]
    assert main([str(word) for word in (*start, folder, *flags)]) == 0
    assert "targets.cls.output.weight" in caplog.text and "embedding" not in caplog.text
    assert load_config(trained / "config.yaml")["encoder"] == "transformer"


def test_a_dual_model_has_no_use_for_one_stream(theirs, tmp_path, capsys):
    folder, _ = theirs
    rows, ours = tmp_path / "rows.tsv", tmp_path / "ours"
    rows.write_text(table(8))
    assert main(["convert", str(folder), str(ours)]) == 0
    start = ["finetune", "classifier", "--pretrained_model_path", str(ours)]
    assert main([*start, "--train_path", str(rows)]) == 2
    sentence = "encoder: 'dual' reads two streams and the data processor 'cls' makes one"
    assert sentence in capsys.readouterr().err


def test_newer_and_other_ways_of_pooling(theirs):
    folder, _ = theirs
    pooling(folder, pooling_mode="cls")
    assert read_checkpoint(folder).config["pooling"] == "first"
    pooling(folder, pooling_mode_weightedmean_tokens=True)
    with pytest.raises(ConfigError, match="pooling_mode: exactly one of cls, mean, max, lasttok"):
        read_checkpoint(folder)


def test_what_is_not_supported(theirs):
    folder, _ = theirs
    parts = (("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
    modules(folder, *parts, ("2_Normalize", "Normalize"))
    assert read_checkpoint(folder).config["encoder"] == "dual"
    modules(folder, *parts, ("2_Dense", "Dense"))
    with pytest.raises(ConfigError, match="the module Dense is not supported here"):
        read_checkpoint(folder)
    modules(folder, parts[0])
    with pytest.raises(ConfigError, match="there is no module Pooling"):
        read_checkpoint(folder)
    (folder / "modules.json").write_text("{}")
    with pytest.raises(
        (CheckpointError, ConfigError), match=r"modules\.json names no modules|no module"
    ):
        read_checkpoint(folder)
