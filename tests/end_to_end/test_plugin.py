"""A new objective is one file, a new model one configuration; nothing of the package changes."""

import json

import pytest
from support import REPOSITORY, TINY, python

OBJECTIVE = '''
"""Tells apart whether the first predicted token has an even id."""
from typing import Annotated

from uer.components import Target
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.signature import Given


class Parity(Target):
    """Even or odd."""

    def __init__(self, *, input_size: Given[int], classes: Annotated[int, "how many kinds"] = 2):
        super().__init__()
        self.output, self.classes = Linear(input_size, classes), classes

    def weight(self, batch):
        return self.count(batch)

    def forward(self, states, batch):
        value = batch[f"labels.{self.name}.value"] % self.classes
        return cross_entropy(self.output(states.at(batch[f"labels.{self.name}.index"])), value)
'''
MODEL = {
    **TINY,
    "data_processor": "mlm",
    "embedding": ["word"],
    "position": "rotary",
    "encoder": "transformer",
    "layernorm": "rms",
    "layernorm_positioning": "pre",
    "feed_forward": "gated",
    "target": ["mlm"],
    "seq_length": 32,
}


@pytest.fixture
def trained(tmp_path, vocabulary, corpus):
    """Preprocesses and trains with the entry scripts; returns the reports and the last process."""

    def train(config, *more):
        (tmp_path / "model.yaml").write_text(json.dumps(config))  # JSON is YAML
        done = python(
            REPOSITORY / "preprocess.py", "--corpus_path", corpus, "--vocab_path", vocabulary,
            "--dataset_path", "data", "--data_processor", config["data_processor"], cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        done = python(
            REPOSITORY / "pretrain.py", "--dataset_path", "data", "--config_path", "model.yaml",
            "--output_model_path", "out", "--total_steps", 30, "--report_steps", 10,
            "--batch_size", 8, "--learning_rate", "1e-2", "--threads", 1,
            "--log_path", "log.jsonl", *more, cwd=tmp_path,
        )  # fmt: skip
        if done.returncode:
            return [], done
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert (tmp_path / "out-30").is_dir()
        return [json.loads(line) for line in lines], done

    return train


def test_an_objective_in_one_file(trained, tmp_path):
    (tmp_path / "parity.py").write_text(OBJECTIVE)
    config = {**MODEL, "target": [{"parity": {"name": "mlm", "classes": 2}}]}
    reports, done = trained(config, "--plugin", "parity.py")
    assert done.returncode == 0, done.stderr
    assert "model of" in done.stderr
    assert "targets.mlm.output.weight" in weights_of(tmp_path / "out-30")
    assert reports


def test_without_the_plugin_its_name_is_unknown(trained):
    _, done = trained({**MODEL, "target": ["parity"]})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "pretrain.py: model.yaml: target[0]: no target is called 'parity'"
    )


def test_a_model_in_one_configuration(trained, tmp_path):
    _, done = trained(MODEL)
    assert done.returncode == 0, done.stderr
    names = weights_of(tmp_path / "out-30")
    assert "encoder.layers.1.feed_forward.gate.weight" in names
    assert "encoder.norm.weight" in names and "encoder.norm.bias" not in names


def weights_of(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())
