"""The predecessors' quick start, command for command: from a corpus to predictions."""

import json
from pathlib import Path

import pytest
from support import REPOSITORY, SHARED_DATA, TINY, python, table

ZH_CORPUS = SHARED_DATA / "corpora" / "CLUECorpusSmall_bert_sampled.txt"
ZH_TABLES = SHARED_DATA / "datasets" / "chnsenticorp"
ZH_VOCABULARY = SHARED_DATA / "google_zh_vocab.txt"


def go(folder, script, **flags):
    """Run an entry script; everything it says, on failure."""
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    done = python(REPOSITORY / script, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def quick_start(
    folder, corpus, vocabulary, tables: dict[str, Path], epochs=1, rate="1e-3", **model
):
    go(
        folder, "preprocess.py", corpus_path=corpus, vocab_path=vocabulary,
        dataset_path="dataset.pt", processes_num=2, data_processor="bert",
    )  # fmt: skip
    go(
        folder, "pretrain.py", dataset_path="dataset.pt", vocab_path=vocabulary,
        config_path="models/bert/tiny_config.json", output_model_path="models/model.bin",
        total_steps=50, save_checkpoint_steps=50, report_steps=10, batch_size=4,
        seq_length=64, learning_rate="1e-3", log_path="log.jsonl", threads=1, **model,
    )  # fmt: skip
    (folder / "models" / "model.bin-50").rename(folder / "models" / "model.bin")
    said = go(
        folder, "finetune/run_classifier.py", pretrained_model_path="models/model.bin",
        vocab_path=vocabulary, train_path=tables["train"], dev_path=tables["dev"],
        test_path=tables["test"], epochs_num=epochs, batch_size=4, seq_length=64,
        learning_rate=rate, output_model_path="models/classifier.bin", threads=1,
    )  # fmt: skip
    assert "accuracy" in said
    go(
        folder, "inference/run_classifier_infer.py", load_model_path="models/classifier.bin",
        test_path=tables["nolabel"], prediction_path="prediction.tsv", seq_length=64,
        labels_num=2, vocab_path=vocabulary, threads=1,
    )  # fmt: skip
    return (folder / "prediction.tsv").read_text().splitlines()


def losses(path):
    """The reported losses of masked tokens, in order."""
    reports = [json.loads(line) for line in path.read_text().splitlines()]
    return [value for r in reports for key, value in _flat(r) if key.endswith("mlm.loss")]


def _flat(report, prefix=""):
    for key, value in report.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_on_a_small_corpus_of_our_own(tmp_path, vocabulary, corpus):
    tables = {}
    for seed, (name, rows) in enumerate(
        {"train": 64, "dev": 16, "test": 16, "nolabel": 15}.items()
    ):
        tables[name] = tmp_path / f"{name}.tsv"
        tables[name].write_text(table(rows, label=name != "nolabel", seed=seed))
    tiny = {key: value for key, value in TINY.items() if key != "dropout"}
    header, *labels = quick_start(
        tmp_path, corpus, vocabulary, tables, epochs=6, rate="1e-2", **tiny
    )
    assert header == "label" and len(labels) == 15
    right = sum(int(label) == row % 2 for row, label in enumerate(labels))
    assert right >= 14  # whether the cat comes first is easily learnt


@pytest.mark.skipif(
    not ZH_CORPUS.exists() or not ZH_TABLES.exists(),
    reason=f"no sample data in {SHARED_DATA}; set UER_SHARED_DATA to their folder",
)
def test_on_samples_of_the_predecessors_data(tmp_path):
    head = ZH_CORPUS.read_text(encoding="utf-8").split("\n")[:600]
    (tmp_path / "corpus.txt").write_text("\n".join(head), encoding="utf-8")
    tables = {}
    for name, rows in {"train": 64, "dev": 32, "test": 32, "test_nolabel": 20}.items():
        lines = (ZH_TABLES / f"{name}.tsv").read_text(encoding="utf-8").split("\n")[: rows + 1]
        key = name.removeprefix("test_")
        tables[key] = tmp_path / f"{name}.tsv"
        tables[key].write_text("\n".join(lines) + "\n", encoding="utf-8")
    header, *labels = quick_start(tmp_path, tmp_path / "corpus.txt", ZH_VOCABULARY, tables)
    assert header == "label" and len(labels) == 20 and set(labels) <= {"0", "1"}
    reported = losses(tmp_path / "log.jsonl")
    assert reported and reported[-1] < reported[0]
