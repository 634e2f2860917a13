"""Checkpoints that are loaded with more tokens than they were trained with."""

import logging

import pytest
import torch
from support import BERT, MODELS, TINY, VOCAB, WORDS, model_of, table

from uer.cli.main import run
from uer.config import dump_yaml, load_config
from uer.interop.resize import extended, resize_vocabulary
from uer.tokenizers.base import read_vocabulary
from uer.training.checkpoint import read_weights
from uer.training.loading import fill

pytestmark = pytest.mark.usefixtures("no_measurement")

NEW = ["zebra", "##bra", "zorro"]
BODY = {"embedding": ["word", "pos"], "encoder": "transformer", **TINY}
CONFIG = {**BODY, "data_processor": "mlm", "seq_length": 32, "target": "mlm", "tie_weights": True}
# Every part that has a row for each token.
TABLES = {
    "bert": (BERT, 3),
    "untied": ({**BERT, "tie_weights": False}, 3),
    "lm with a bias": (MODELS["prefix"], 3),
    "one embedding": (MODELS["llama"], 2),
    "both directions": (
        {
            "embedding": "word",
            "encoder": "bilstm",
            "target": "bilm",
            **{key: TINY[key] for key in ("emb_size", "hidden_size", "layers_num", "dropout")},
        },
        2,
    ),
    "seq2seq": (
        {**BODY, "tgt_embedding": "word", "decoder": "transformer", "target": "lm"},
        3,
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_grows_by_its_mean(name):
    """By hand: new rows are the sum of the old ones, divided by their number."""
    config, number = TABLES[name]
    old, new = model_of(config), model_of(config, vocab_size=VOCAB + 2, seed=5)
    weights = old.state_dict()
    by_load, names = extended(weights, new, {(VOCAB, VOCAB + 2)})
    told, by_convert = resize_vocabulary(config, weights, {"vocab_size": VOCAB}, VOCAB + 2)
    assert told["facts"] == {"vocab_size": VOCAB + 2}
    assert len(names) == number
    assert not fill(new, by_load, "x").missing
    for state in (by_load, by_convert, new.state_dict()):
        assert state.keys() == weights.keys()
        for key, value in weights.items():
            if key not in names:
                assert torch.equal(state[key], value)
                continue
            mean = sum(row.double() for row in value) / VOCAB
            assert torch.equal(state[key][:VOCAB], value)
            assert state[key].shape == (VOCAB + 2, *value.shape[1:])
            for row in state[key][VOCAB:]:
                torch.testing.assert_close(row.double(), mean, rtol=0, atol=1e-6)


def test_other_shapes_do_not_grow():
    weights = model_of(BERT).state_dict()
    wider = model_of({**BERT, "max_seq_length": 66}, vocab_size=VOCAB)
    assert extended(weights, wider, {(VOCAB, VOCAB + 2)})[1] == []


def called(command, *positional, **flags):
    words = [*map(str, positional)]
    for name, value in flags.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return run(command, words, command)


@pytest.fixture(scope="module")
def home(tmp_path_factory, vocabulary, corpus):
    """A model, a longer vocabulary, and data that was made with it."""
    folder = tmp_path_factory.mktemp("growth")
    (folder / "tiny.yaml").write_text(dump_yaml(CONFIG))
    (folder / "longer.txt").write_text(vocabulary.read_text() + "".join(f"{t}\n" for t in NEW))
    (folder / "other.txt").write_text("".join(f"{t}\n" for t in NEW) + vocabulary.read_text())
    (folder / "rows.tsv").write_text(table(16))
    for name, file in (("old", vocabulary), ("new", folder / "longer.txt")):
        data = {"corpus_path": corpus, "vocab_path": file, "data_processor": "mlm"}
        assert called("preprocess", **data, dataset_path=folder / name) == 0
    given = {"config_path": folder / "tiny.yaml", "output_model_path": folder / "base"}
    assert trained(folder / "old", **given) == 0
    return folder


def trained(data, **flags):
    return called("pretrain", dataset_path=data, batch_size=4, threads=1, total_steps=1, **flags)


def require_grown(folder, base, rate=0.0):
    old, new = read_weights(base), read_weights(folder)
    size = old["embedding.parts.word.weight"].shape[0]
    for name in ("embedding.parts.word.weight", "targets.mlm.output.bias"):
        if name in new:
            mean = old[name].mean(0, keepdim=True).expand(len(NEW), *old[name].shape[1:])
            expected = torch.cat([old[name], mean])
            assert new[name].shape[0] == size + len(NEW)
            torch.testing.assert_close(new[name], expected, rtol=0, atol=1e-6 + rate)


def test_pretraining_and_tasks_go_on_with_further_tokens(home, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    small = {"pretrained_model_path": home / "base-1", "learning_rate": 1e-9}
    assert trained(home / "new", output_model_path=tmp_path / "more", **small) == 0
    assert "new tokens begin as the mean of the old ones: embedding.parts.word.w" in caplog.text
    require_grown(tmp_path / "more-1", home / "base-1", 1e-8)
    lora = {"use_lora": True, "lora_r": 2}
    assert trained(home / "new", output_model_path=tmp_path / "lora", **small, **lora) == 0
    assert "embedding.parts.word.weight" in read_weights(tmp_path / "lora-1")  # trained whole
    assert called("merge-lora", tmp_path / "lora-1", tmp_path / "merged") == 0
    require_grown(tmp_path / "merged", home / "base-1", 1e-8)
    task = {"train_path": home / "rows.tsv", "epochs_num": 1, "seq_length": 16, "threads": 1}
    task |= {**small, "vocab_path": home / "longer.txt", "output_model_path": tmp_path / "task"}
    assert called("finetune", "classifier", **task) == 0
    require_grown(tmp_path / "task", home / "base-1", 1e-8)
    predict = {"load_model_path": tmp_path / "task", "test_path": home / "rows.tsv"}
    assert called("infer", "classifier", **predict, prediction_path=tmp_path / "p.tsv") == 0


def test_converting_with_a_longer_vocabulary(home, tmp_path, vocabulary, caplog, capsys):
    caplog.set_level(logging.INFO)
    longer = {"vocab_path": home / "longer.txt", "to": "uer"}
    assert called("convert", home / "base-1", tmp_path / "new", **longer) == 0
    assert f"{len(NEW)} new tokens begin as the mean of all" in caplog.text
    require_grown(tmp_path / "new", home / "base-1")
    assert read_vocabulary(tmp_path / "new" / "tokenizer" / "vocab.txt")[-3:] == NEW
    size = load_config(tmp_path / "new" / "config.yaml")["facts"]["vocab_size"]
    assert size == len(read_vocabulary(home / "longer.txt"))
    assert trained(home / "new", pretrained_model_path=tmp_path / "new",
                   output_model_path=tmp_path / "on") == 0  # fmt: skip
    # and once more from a checkpoint that says how many rows it has
    more = [*read_vocabulary(home / "longer.txt"), "ant"]
    (tmp_path / "more.txt").write_text("".join(f"{token}\n" for token in more))
    task = {"train_path": home / "rows.tsv", "epochs_num": 1, "seq_length": 16, "threads": 1}
    task |= {"pretrained_model_path": tmp_path / "new", "vocab_path": tmp_path / "more.txt"}
    assert called("finetune", "classifier", **task, output_model_path=tmp_path / "task") == 0
    assert load_config(tmp_path / "task" / "config.yaml")["facts"]["vocab_size"] == size + 1
    assert read_weights(tmp_path / "task")["embedding.parts.word.weight"].shape[0] == size + 1
    other = {"vocab_path": home / "other.txt", "to": "uer"}
    assert called("convert", home / "base-1", tmp_path / "x", **other) == 2
    assert "it is not known that the first ones are the same" in capsys.readouterr().err


def test_other_vocabularies_are_refused(home, tmp_path, corpus, capsys):
    data = {"corpus_path": corpus, "vocab_path": home / "other.txt", "data_processor": "mlm"}
    assert called("preprocess", **data, dataset_path=tmp_path / "data") == 0
    where = {"output_model_path": tmp_path / "x", "pretrained_model_path": home / "base-1"}
    assert trained(tmp_path / "data", **where) == 2
    assert "and the two differ" in capsys.readouterr().err
    where = {"output_model_path": tmp_path / "x", "resume_from_checkpoint": home / "base-1"}
    assert trained(home / "new", **where) == 2
    assert "and the two differ" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["space", "wordpiece"])
def test_a_vocabulary_is_extended_by_a_corpus(tmp_path, vocabulary, kind, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "corpus.txt").write_text("the zebra sees a zebra\n" * 3)
    made = {"corpus_path": tmp_path / "corpus.txt", "output_path": tmp_path / "new.txt"}
    old = read_vocabulary(vocabulary)
    assert set(WORDS) < set(old)
    size = {"vocab_size": len(old) + 30} if kind == "wordpiece" else {}
    assert called("vocab", **made, kind=kind, extend=vocabulary, **size) == 0
    new = read_vocabulary(tmp_path / "new.txt")
    assert new[: len(old)] == old and "zebra" in new[len(old) :]
    assert len(new) == len(set(new)) and f"{len(new) - len(old)} of them new" in caplog.text
