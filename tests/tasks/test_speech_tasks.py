"""Speech tasks from the command line: tiny models, made-up sounds, real files."""

import numpy as np
import pytest
import soundfile
import torch

from uer.builder import build
from uer.cli.main import run
from uer.config import dump_yaml, load_config
from uer.errors import DataError
from uer.tasks.base import Examples, Task, join_rows
from uer.tokenizers.byte import ByteTokenizer

RATE = 8000
HEARS = {
    "sampling_rate": RATE,
    "audio_feature_size": 16,
    "max_audio_frames": 100,
    "embedding": ["speech", "sinusoidalpos"],
    "emb_size": 16,
    "conv_channels": [16, 32],
    "conv_kernel_sizes": [3, 3],
    "conv_strides": [2, 1],
    "encoder": "transformer",
    "hidden_size": 16,
    "layers_num": 1,
    "heads_num": 2,
    "feedforward_size": 32,
    "dropout": 0.0,
}
WRITES = {
    **HEARS,
    "data_processor": "s2t",
    "tgt_embedding": ["word", "sinusoidalpos"],
    "decoder": "transformer",
    "target": "lm",
    "tie_weights": True,
    "max_seq_length": 64,
}
TRAINS = ("--epochs_num", "2", "--batch_size", "4", "--learning_rate", "1e-3", "--threads", "1")
BYTES = ("--tokenizer", "byte", "--extra_ids", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tones in a table, and a table with sounds that cannot be read among others."""
    made = tmp_path_factory.mktemp("speech")
    time = np.arange(RATE // 2) / RATE
    rows = []
    for number in range(6):
        tone = 0.3 * np.sin(6.28 * (300 + 100 * number) * time[: 2000 + 300 * number])
        soundfile.write(made / f"{number}.wav", tone, RATE)
        rows.append(f"{'ab'[number % 2]}\t{number % 2}\t{number}.wav")
    (made / "train.tsv").write_text("text\tlabel\twav_path\n" + "\n".join(rows) + "\n")
    soundfile.write(made / "long.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(made / "nan.wav", np.full(2000, np.nan), RATE, subtype="FLOAT")
    (made / "text.wav").write_text("no sound")
    names = ["5.wav", "long.wav", "0.wav", "nan.wav", "text.wav", "missing.wav", "3.wav"]
    (made / "test.tsv").write_text("wav_path\n" + "\n".join(names) + "\n")
    for name, config in (
        ("writes", WRITES),
        ("hears", {**HEARS, "data_processor": "ctc", "target": "ctc"}),
    ):
        (made / f"{name}.yaml").write_text(dump_yaml(config))
    return made


def go(monkeypatch, folder, command, task, *words):
    monkeypatch.chdir(folder)
    assert run(command, [task, *map(str, words)], "test") == 0


@pytest.mark.parametrize(
    ("task", "config", "tokenizer", "more"),
    [
        ("speech2text", "writes", BYTES, ("--beam_width", "2", "--tgt_seq_length", "6")),
        ("ctc", "hears", BYTES, ("--beam_width", "4")),
        ("audio_classifier", "hears", (), ()),
    ],
)
def test_train_and_predict(monkeypatch, folder, caplog, task, config, tokenizer, more):
    caplog.set_level("INFO")
    go(
        monkeypatch, folder, "finetune", task, "--config_path", f"{config}.yaml", *tokenizer,
        "--train_path", "train.tsv", "--dev_path", "train.tsv", "--test_path", "train.tsv",
        "--output_model_path", task, *TRAINS, *more,
    )  # fmt: skip
    said = "accuracy" if task == "audio_classifier" else "WER"
    assert said in caplog.text
    go(
        monkeypatch, folder, "infer", task, "--load_model_path", task, "--test_path", "test.tsv",
        "--prediction_path", f"{task}.txt", "--media_report_path", f"{task}.report", *more,
    )  # fmt: skip
    lines = (folder / f"{task}.txt").read_text().split("\n")
    assert lines.pop() == ""
    if task == "audio_classifier":
        assert lines.pop(0) == "label"
    assert len(lines) == 7
    report = (folder / f"{task}.report").read_text()
    for name in ("nan.wav", "text.wav", "missing.wav"):
        assert name in report
    unread = {1, 3, 4, 5}
    assert all(not line for row, line in enumerate(lines) if row in unread)
    if task == "audio_classifier":  # the others may find that nothing is said
        assert all(line for row, line in enumerate(lines) if row not in unread)


@pytest.mark.parametrize(
    ("task", "config", "tokenizer"),
    [("speech2text", "writes", BYTES), ("ctc", "hears", BYTES), ("audio_classifier", "hears", ())],
)
def test_rows_that_cannot_be_read_do_not_count(
    monkeypatch, folder, caplog, task, config, tokenizer
):
    """Each is a batch of its own, of which nothing is left."""
    caplog.set_level("INFO")
    names = ["0.wav", "nan.wav", "text.wav", "1.wav", "missing.wav"]
    rows = [f"{'ab'[number % 2]}\t{number % 2}\t{name}" for number, name in enumerate(names)]
    (folder / "some.tsv").write_text("text\tlabel\twav_path\n" + "\n".join(rows) + "\n")
    kept = [row for row in rows if row[4:] in ("0.wav", "1.wav")]
    (folder / "kept.tsv").write_text("text\tlabel\twav_path\n" + "\n".join(kept) + "\n")
    said = []
    for table in ("some", "kept"):
        caplog.clear()
        go(
            monkeypatch, folder, "finetune", task, "--config_path", f"{config}.yaml", *tokenizer,
            "--train_path", "train.tsv", "--dev_path", f"{table}.tsv",
            "--test_path", f"{table}.tsv", "--output_model_path", f"{task}-{table}", *TRAINS,
            "--batch_size", "1", "--epochs_num", "1",
        )  # fmt: skip
        lines = [line.split(": ", 1)[-1] for line in caplog.messages if "eval/" in line]
        said.append([*lines, *(line[10:] for line in caplog.messages if f"{table}.tsv: " in line)])
    assert len(said[0]) > 2 and said[0][:-2] == said[1][:-2]
    what = "accuracy" if task == "audio_classifier" else "WER"
    assert said[0][-1] == said[1][-1] and what in said[0][-1]


FEELS = {
    **{key: value for key, value in HEARS.items() if not key.startswith(("audio", "max_audio"))},
    "data_processor": "wav2vec2", "target": "wav2vec2", "embedding": ["wave", "convpos"],
    "conv_channels": [12, 16], "conv_kernel_sizes": [10, 8], "conv_strides": [8, 8],
    "conv_norm": "layer", "conv_pos_kernel_size": 8, "conv_pos_groups": 2, "negatives_num": 5,
    "codebook_size": 8, "code_size": 16, "contrast_size": 16, "crop": 1500,
}  # fmt: skip


@pytest.mark.parametrize("task", ["ctc", "audio_classifier"])
@pytest.mark.parametrize("kind", ["speaks", "feels"])
def test_what_was_pre_trained_hears_the_same_in_a_task(monkeypatch, folder, kind, task):
    """A decoder and its word table stay behind; samples stay samples, of which there is no text."""
    config = {"speaks": WRITES, "feels": FEELS}[kind]
    (folder / f"{kind}.yaml").write_text(dump_yaml(config))
    rows = (folder / "train.tsv").read_text().splitlines()[1:]
    cells = [row.split("\t") for row in rows]
    lines = [path if kind == "feels" else f"{text}\t{path}" for text, _, path in cells]
    (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
    words = BYTES if kind == "speaks" else ()
    monkeypatch.chdir(folder)
    place = ["--corpus_path", f"{kind}.txt", "--dataset_path", f"{kind}.data"]
    assert (
        run("preprocess", [*place, *words, "--data_processor", config["data_processor"]], "") == 0
    )
    words = ["--dataset_path", f"{kind}.data", "--config_path", f"{kind}.yaml"]
    words += ["--total_steps", "1", "--batch_size", "2", "--threads", "1"]
    assert run("pretrain", [*words, "--output_model_path", kind], "pretrain") == 0
    go(
        monkeypatch, folder, "finetune", task, "--pretrained_model_path", f"{kind}-1",
        "--train_path", "train.tsv", "--output_model_path", f"{kind}-{task}", *TRAINS,
        *(BYTES if task == "ctc" else ()),
    )  # fmt: skip
    tuned = load_config(folder / f"{kind}-{task}" / "config.yaml")
    assert tuned["sampling_rate"] == RATE
    if kind == "speaks" and task == "ctc":  # what it was pre-trained for it does without a task
        go(
            monkeypatch, folder, "infer", "speech2text", "--load_model_path", f"{kind}-1",
            "--test_path", "test.tsv", "--prediction_path", "spoken.txt", "--tgt_seq_length", "3",
        )  # fmt: skip
        assert len((folder / "spoken.txt").read_text().splitlines()) == 7
    assert tuned["sounds"] == ("fbank" if kind == "speaks" else "wave")


def test_who_has_no_decoder_writes_no_texts(monkeypatch, folder, capsys):
    monkeypatch.chdir(folder)
    words = ["speech2text", "--config_path", "hears.yaml", "--train_path", "train.tsv", *BYTES]
    assert run("finetune", words, "test") == 2
    assert "writes texts with a decoder, and the model has none" in capsys.readouterr().err


def test_a_tables_folder_holds_its_sounds(folder, tmp_path):
    table = tmp_path / "rows.tsv"
    table.write_text("text\twav_path\na\t../0.wav\n")
    with pytest.raises(DataError, match=r"rows\.tsv:2: the path .* leads out of"):
        build(Task, "speech2text").read(table, {}, labelled=True)
    table.write_text("text\twav_path\na\t0.wav\n")
    read = build(Task, "speech2text", media_root=str(folder)).read(table, {}, labelled=True)
    assert read.columns["sound_samples"].tolist() == [2000]
    assert read.columns["sound_rate"].tolist() == [RATE]


def test_texts_of_any_length_are_joined():
    long, short = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0]])
    joined = join_rows([(long, np.array([2])), (short, np.array([0]))], 3)
    assert joined[2].tolist() == [1, 2, 3] and joined[0, 0] == 4
    assert joined.isnan().tolist() == [[False, True, True], [True] * 3, [False] * 3]


def test_error_rates_count_edits_over_all_rows():
    task = build(Task, "speech2text")
    task.tokenizer = ByteTokenizer(extra_ids=0)
    wanted = ["one two", "three"]
    ids = [[byte + 3 for byte in text.encode()] for text in ("one too", "three")]
    outputs = torch.full((2, 7), torch.nan)
    for row, text in zip(outputs, ids, strict=True):
        row[: len(text)] = torch.tensor(text, dtype=torch.float32)
    (line,) = task.summary(outputs, Examples([[text] for text in wanted]))
    assert line == f"WER {1 / 3:.4f}, CER {1 / 12:.4f} (2 rows)"
