"""What preprocessing was told about masking is what pre-training does."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support import TINY

from uer.cli.main import run
from uer.config import dump_yaml, load_config
from uer.data.store import Store

BERT = {**TINY, "embedding": ["word", "pos"], "encoder": "transformer", "target": ["mlm"]}


def words_of(flags):
    return [str(word) for name, value in flags.items() for word in (f"--{name}", value)]


@pytest.fixture
def made(tmp_path, corpus, vocabulary):
    def attempt(*flags):
        files = ["--corpus_path", str(corpus), "--vocab_path", str(vocabulary)]
        place = ["--dataset_path", str(tmp_path / "data")]
        assert run("preprocess", [*files, *place, *flags], "preprocess.py") == 0
        return tmp_path / "data"

    return attempt


def test_masking_is_remembered(made, tmp_path):
    data = made("--data_processor", "mlm", "--span_masking", "--span_geo_prob", "0.3")
    options = json.loads((data / "meta.json").read_text())["processor"]["options"]
    assert options == {"masking": "span", "span_geo_prob": 0.3}
    (tmp_path / "config.yaml").write_text(dump_yaml(BERT))
    flags = {
        **{
            "dataset_path": data,
            "config_path": tmp_path / "config.yaml",
            "total_steps": 1,
            "seq_length": 32,
        },
        **{"output_model_path": tmp_path / "model", "batch_size": 2, "threads": 1},
    }
    assert run("pretrain", words_of(flags), "pretrain.py") == 0
    trained = load_config(tmp_path / "model-1" / "config.yaml")
    assert trained["masking"] == "span" and trained["span_geo_prob"] == 0.3
    # Another objective does not ask for them.
    del flags["config_path"]
    flags |= {"pretrained_model_path": tmp_path / "model-1", "data_processor": "lm"}
    flags |= {"target": "lm", "mask": "causal"}
    assert run("pretrain", words_of(flags), "pretrain.py") == 0
    again = load_config(tmp_path / "model-1" / "config.yaml")
    assert again["target"] == ["lm"] and not {"masking", "span_geo_prob"} & again.keys()


def test_the_predecessors_whole_words_are_jiebas(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", SimpleNamespace(cut=lambda text: [text]))
    store = Store.open(made("--whole_word_masking"))
    assert store.sides["src"].starts(np.arange(40)).sum() < 20
    store = Store.open(made("--whole_word_masking", "--words", "tokenizer"))
    assert store.sides["src"].starts(np.arange(40)).all()
