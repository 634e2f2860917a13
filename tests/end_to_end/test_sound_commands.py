"""Every processor of sounds from the command line: a made-up corpus, a tiny model, few updates."""

import json
import sys

import numpy as np
import pytest
from support import REPOSITORY

from uer.cli.main import run
from uer.config import dump_yaml

sys.path.insert(0, str(REPOSITORY / "tests" / "processors"))
from sound_corpora import RATE, sound_store

SECONDS = [0.5, 0.31, 0.8, 0.42, 0.6, 0.25]
ENCODER = {
    "encoder": "transformer", "layers_num": 1, "hidden_size": 16, "emb_size": 16, "heads_num": 2,
    "feedforward_size": 32, "dropout": 0.0, "sampling_rate": RATE,
}  # fmt: skip
FRAMES = {**ENCODER, "audio_feature_size": 20}
SPEECH = {
    **FRAMES, "embedding": ["speech", "sinusoidalpos"], "conv_channels": [16, 32],
    "conv_kernel_sizes": [3, 3],
}  # fmt: skip
WAVE = {
    **ENCODER, "embedding": ["wave", "convpos"], "conv_channels": [16, 16],
    "conv_kernel_sizes": [10, 8], "conv_strides": [8, 8], "conv_norm": "layer",
    "conv_pos_kernel_size": 8, "conv_pos_groups": 2,
}  # fmt: skip
FEW_CODES = {"codebook_size": 8, "code_size": 16, "contrast_size": 16}
CASES = {
    "s2t": {
        **SPEECH, "tgt_embedding": ["word", "sinusoidalpos"], "decoder": "transformer",
        "decoder_layers_num": 1, "target": "lm",
        "specaugment": {"time_mask_T": 9, "time_mask_N": 1},
    },
    "ctc": {**SPEECH, "target": "ctc"},
    "wav2vec2": {**WAVE, "target": "wav2vec2", "negatives_num": 5, **FEW_CODES},
    "hubert": {**WAVE, "target": "hubert", "codes_num": 7, "code_size": 16},
    "tera": {**FRAMES, "embedding": ["frame", "sinusoidalpos"], "target": "frames"},
    "ssast": {
        **FRAMES, "embedding": ["spectrogram", "pos"], "spectrogram_patch": [4, 5],
        "target": "ssast",
    },
    "sound_cls": {**SPEECH, "target": "cls", "pooling": "mean"},
}  # fmt: skip


def fields_of(name):
    """What stands before the path in each line."""
    if name == "hubert":
        frames = [((int(s * RATE) - 10) // 8 + 1 - 8) // 8 + 1 for s in SECONDS]
        codes = [np.arange(count) % 7 for count in frames]
        return [[" ".join(map(str, row))] for row in codes]
    texts = {"s2t": "abcdef", "ctc": "abcdef", "sound_cls": "010101"}
    return [[text] for text in texts[name]] if name in texts else [[]] * len(SECONDS)


@pytest.mark.parametrize("name", CASES)
def test_a_corpus_becomes_a_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound_store(tmp_path, fields_of(name), SECONDS)
    (tmp_path / "config.yaml").write_text(dump_yaml({**CASES[name], "data_processor": name}))
    words = ["--corpus_path", "manifest.txt", "--dataset_path", "data", "--data_processor", name]
    words += ["--tokenizer", "byte", "--extra_ids", "0"] if name in ("s2t", "ctc") else []
    assert run("preprocess", words, "preprocess.py") == 0
    budget = "6000" if name in ("wav2vec2", "hubert") else "120"
    words = ["--dataset_path", "data", "--config_path", "config.yaml", "--total_steps", "3"]
    words += ["--output_model_path", "model", "--log_path", "log", "--report_steps", "1"]
    words += ["--batch_tokens", budget, "--threads", "1", "--precision", "fp32"]
    assert run("pretrain", words, "pretrain.py") == 0
    reports = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    losses = [report["loss"] for report in reports if "loss" in report]
    assert len(losses) >= 3 and np.isfinite(losses).all()
    assert (tmp_path / "model-3" / "model.safetensors").exists()
