"""The predecessors' configurations build models of the size that their own code builds."""

import json

import pytest
import torch
from support import SHARED_DATA

from uer.builder import Planner
from uer.config import load_config
from uer.interop.legacy.config import translate
from uer.model import Model

CONFIGS = SHARED_DATA / "predecessor_configs"
VOCAB = 21_128

# Parameters in millions that their code counts at this vocabulary, rounded as here.
MILLIONS = {
    "albert/base_config": 13.4,
    "albert/large_config": 19.4,
    "albert/xlarge_config": 60.6,
    "albert/xxlarge_config": 224.7,
    "bart/base_config": 133.3,
    "bart/large_config": 398.1,
    "bert/tiny_config": 3.2,
    "bert/mini_config": 8.9,
    "bert/small_config": 24.2,
    "bert/medium_config": 36.8,
    "bert/base_config": 102.9,
    "bert/large_config": 326.6,
    "bert/xlarge_config": 1057.9,
    "bloom/1b1_config": 712.4,
    "bloom/7b1_config": 6127.9,
    "bloom/175b_config": 172953.5,
    "cnn/gatedcnn_9_config": 62.3,
    "cnn/gatedcnn_13_config": 185.2,
    "gpt2/config": 102.1,
    "gpt2/distil_config": 59.5,
    "gpt2/medium_config": 325.0,
    "gpt2/large_config": 736.7,
    "gpt2/xlarge_config": 1511.0,
    "llama/7b_config": 6649.4,
    "llama/13b_config": 12904.5,
    "llama/33b_config": 32384.2,
    "llama/65b_config": 65107.5,
    "llama2/7b_config": 6649.4,
    "llama2/13b_config": 12904.5,
    "llama2/70b_config": 68798.5,
    "megatron/bert_3.9B_config": 3899.1,
    "megatron/gpt2_8.3B_config": 8224.7,
    "pegasus/base_config": 231.0,
    "pegasus/large_config": 513.6,
    "rnn/bilstm_config": 44.4,
    "rnn/gru_config": 24.8,
    "rnn/lstm_config": 25.8,
    "s2t/small_config": 32.4,
    "s2t/medium_config": 76.9,
    "s2t/large_config": 279.2,
    "t5/small_config": 65.7,
    "t5/base_config": 230.7,
    "t5/large_config": 748.0,
    "t5/3b_config": 2862.0,
    "t5/11b_config": 11317.7,
    "t5-v1_1/small_config": 65.7,
    "t5-v1_1/base_config": 230.7,
    "t5-v1_1/large_config": 760.6,
    "t5-v1_1/xlarge_config": 2804.7,
    "t5-v1_1/xxlarge_config": 11045.2,
    "transformer/base_config": 65.8,
    "transformer/big_config": 219.6,
    "xlm-roberta/base_config": 118.5,
    "xlm-roberta/large_config": 347.2,
}


# Shipped under the same name, but with norms where the paper has them and their code has not.
OTHER_NORMS = ("bloom", "megatron/bert", "transformer")


def model_of(config, dialect, *, theirs=True):
    ours, _ = translate(config, dialect, theirs=theirs)
    with torch.device("meta"):
        return Planner(ours).section(Model).build({"vocab_size": VOCAB})


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def shapes(model):
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def only_in_legacy(config):
    """Parameters that their code has beside those of the published model."""
    if config.get("share_embedding") and config.get("tie_weights"):
        return VOCAB * config["hidden_size"]  # sharing the tables undoes the tie
    if config["encoder"] == "gatedcnn":
        return 2 * config["layers_num"] * config["hidden_size"]  # a second bias of both maps
    return 0


@pytest.mark.skipif(
    not CONFIGS.is_dir(), reason=f"there is no {CONFIGS}; set UER_SHARED_DATA to where it lies"
)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.heavy) if count > 1500 else name
        for name, count in MILLIONS.items()  # the deepest take long even without weights
    ],
)
def test_a_configuration_of_theirs_has_the_size_of_their_model(name):
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    legacy = model_of(config, "legacy")
    padding = config["emb_size"] if "seg" in config["embedding"] else 0  # their segment 0
    assert round((size(legacy) + padding) / 1e6, 1) == MILLIONS[name]
    assert size(model_of(config, "published")) == size(legacy) - only_in_legacy(config)
    if not name.startswith(OTHER_NORMS):
        # XLM-RoBERTa: they count the positions that RoBERTa leaves out.
        places = {"max_seq_length": config["max_seq_length"]} if name.startswith("xlm") else {}
        twin = model_of({**load_config(f"models/{name}.json"), **places}, "legacy", theirs=False)
        assert shapes(twin) == shapes(legacy)
