"""The configurations under models/: they are read, say where they come from, and count right."""

import pytest
import torch
from shapes import SHAPES, bert, theirs
from torch import nn

from uer.config import load_config, shipped_models
from uer.recipe import read_recipe

PUBLISHED = [name for name in shipped_models() if "paper" in load_config(name)["about"]]


def quick(names):
    """The deepest take long even without weights; `make test-full` has them."""
    return [
        pytest.param(name, marks=pytest.mark.heavy)
        if load_config(name)["about"]["parameters"] > 4e9
        else name
        for name in names
    ]


def size(module, *, more=()):
    """Trained parameters, tied ones once, and of the buffers ``more``."""
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    return trained + sum(b.numel() for name, b in module.named_buffers() if name in more)


@pytest.mark.parametrize("name", shipped_models())
def test_a_configuration_says_where_it_comes_from_or_what_for(name):
    about = load_config(name)["about"]
    assert about.get("paper", "").startswith("https://") or about["purpose"]


@pytest.mark.parametrize("name", quick(PUBLISHED))
def test_a_configuration_has_as_many_parameters_as_it_says(name):
    recipe = read_recipe(name)
    about = recipe.config["about"]
    with torch.device("meta"):
        model = recipe.model.build({"vocab_size": about.get("vocab_size"), "labels_num": 2})
    assert size(model) == about["parameters"]


@pytest.mark.parametrize("name", shipped_models())
def test_everything_in_a_configuration_is_known(name):
    recipe = read_recipe(name)
    assert recipe.notes == []
    assert recipe.processor is not None or not recipe.config.get("target")


def test_bert_tiny_by_hand():
    v, h, f = 21128, 128, 512
    embedding = v * h + 512 * h + 2 * h + 2 * h
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 4 * h
    head = (h * h + h) + 2 * h + v + (h * h + h) + (h * 2 + 2)
    assert load_config("bert/tiny")["about"]["parameters"] == embedding + 2 * layer + head


@pytest.mark.parametrize("name", quick(SHAPES))
def test_a_shape_counts_as_in_transformers(name):
    # A bias of the output layer is a buffer there, a table of sinusoids a parameter that rests.
    config = load_config(name)
    bias = ["final_logits_bias"] if config.get("has_lmtarget_bias") else []
    assert size(theirs(*SHAPES[name]), more=bias) == config["about"]["parameters"]


@pytest.mark.parametrize(("name", "h", "layers"), [("base", 768, 12), ("large", 1024, 24)])
def test_sentence_bert_is_one_bert(name, h, layers):
    shape = bert(h, layers, h // 64, head="Model")
    pooler = h * h + h
    assert size(theirs(*shape)) - pooler == load_config(f"sbert/{name}")["about"]["parameters"]


@pytest.mark.parametrize(
    ("name", "stacks", "outputs"),
    [
        ("lstm", [(nn.LSTM, 512)], 512),
        ("gru", [(nn.GRU, 512)], 512),
        ("bilstm", [(nn.LSTM, 768), (nn.LSTM, 768)], 768),
        ("siamese_lstm", [(nn.LSTM, 512)], 0),
    ],
)
def test_recurrent_models_count_as_in_torch(name, stacks, outputs):
    count = sum(size(kind(512, width, num_layers=2)) for kind, width in stacks)
    tables = 21128 * (512 + outputs)
    if name == "siamese_lstm":
        tables += 2 * 512  # the norm of its embeddings
    assert load_config(f"rnn/{name}")["about"]["parameters"] == count + tables


@pytest.mark.parametrize(("layers", "h"), [(9, 807), (13, 1268)])
def test_gated_convolutions_by_hand(layers, h):
    v, e, kernel = 21128, 128, 4
    maps = 2 * kernel * (e * h + (layers - 1) * h * h) + 2 * layers * h
    about = load_config(f"cnn/gatedcnn_{layers}")["about"]
    assert about["parameters"] == v * e + maps + v * h


ELECTRAS = {"small": (256, 128, 4, 64, 1), "base": (768, 768, 12, 256, 4)}
ELECTRAS["large"] = (1024, 1024, 16, 256, 4)


@pytest.mark.parametrize("kind", ELECTRAS)
def test_electra_counts_as_in_transformers(kind):
    from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

    width, emb, heads, narrow, few = ELECTRAS[kind]

    def made(head, width, heads):
        return head(
            ElectraConfig(
                embedding_size=emb,
                hidden_size=width,
                num_hidden_layers=24 if kind == "large" else 12,
                num_attention_heads=heads,
                intermediate_size=4 * width,
            )
        )

    with torch.device("meta"):
        both = [made(ElectraForPreTraining, width, heads), made(ElectraForMaskedLM, narrow, few)]
    counts = [size(each) for each in both]
    shared = size(both[1].electra.embeddings)
    assert load_config(f"electra/{kind}")["about"]["parameters"] == sum(counts) - shared


def test_sound_without_a_class_for_pre_training_counts_as_its_body_in_transformers():
    from transformers import ASTConfig, ASTModel, HubertConfig, HubertModel

    h, codes, patch = 768, 500, 16 * 16
    layer = 4 * (h * h + h) + 2 * h * 3072 + 3072 + h + 4 * h
    with torch.device("meta"):
        hubert = HubertModel(HubertConfig(mask_time_prob=0.65))
        spectrogram = ASTModel(
            ASTConfig(time_stride=16, frequency_stride=16, max_length=1024, num_mel_bins=128)
        )
    head = (h * h + h) + (h * patch + patch)
    counts = {
        "hubert/base": size(hubert) + (h * 256 + 256) + codes * 256,
        "ssast/base": size(spectrogram) + h + 2 * head,  # h: the vector of masked patches
        "tera/base": (80 * h + h) + 2 * h + 3 * layer + (h * h + h) + 2 * h + (h * 80 + 80),
    }
    for name, count in counts.items():
        assert load_config(name)["about"]["parameters"] == count


def test_prophetnet_and_mpnet_count_as_in_transformers():
    from transformers import (
        MPNetConfig,
        MPNetForMaskedLM,
        ProphetNetConfig,
        ProphetNetForConditionalGeneration,
    )

    with torch.device("meta"):
        theirs = {
            "prophetnet/large": ProphetNetForConditionalGeneration(ProphetNetConfig()),
            "mpnet/base": MPNetForMaskedLM(
                MPNetConfig(vocab_size=30527, max_position_embeddings=514)
            ),
        }
    for name, model in theirs.items():
        assert load_config(name)["about"]["parameters"] == size(model)


def test_vilt_counts_as_in_transformers():
    from transformers import ViltConfig, ViltForMaskedLM

    with torch.device("meta"):
        theirs = ViltForMaskedLM(ViltConfig())  # its pooler is the hidden layer of our target sp
    answer = 2 * 768 + 2
    assert load_config("vilt/base")["about"]["parameters"] == size(theirs) + answer
