import pytest
import torch
from support import BERT, MODELS, TINY, batch_of, documents_of, model_of

from uer.batch import Batch
from uer.interop.equivalent import (
    in_halves,
    in_pairs,
    with_layer_norms,
    with_learnt_positions,
    with_their_tables,
)
from uer.interop.huggingface.destination import export

LLAMA = {**MODELS["llama"], "heads_num": 4, "kv_heads_num": 2, "qkv_bias": True}


def states(config, weights):
    model = model_of(config)
    model.load_state_dict(weights)
    batch, place = batch_of(documents_of([9, 5]), [[0], [1]])
    with torch.no_grad():
        return model.states(batch).at(place)


def test_the_predecessors_norm_as_layer_normalisation():
    config = {**BERT, "layernorm": "legacy", "dialect": "legacy", "layernorm_eps": 1e-6}
    weights = model_of({**BERT, "layernorm": "legacy"}).state_dict()
    keys = {key: value for key, value in config.items() if key != "dialect"}
    made, changed = with_layer_norms(config, weights)
    assert made["layernorm"] == "normal" and "dialect" not in made
    torch.testing.assert_close(states(made, changed), states(keys, weights), atol=1e-5, rtol=0)
    plain = states({**made, "layernorm_eps": 1e-6}, weights)
    assert (plain - states(keys, weights)).abs().max() > 1e-3


def test_rotary_positions_in_either_order():
    weights = model_of(LLAMA).state_dict()
    pairs, changed = in_pairs(LLAMA, weights)
    assert pairs["position"] == "rotary_interleaved"
    torch.testing.assert_close(states(pairs, changed), states(LLAMA, weights), atol=1e-5, rtol=0)
    back, again = in_halves(pairs, changed)
    assert back == LLAMA and all(torch.equal(again[name], weights[name]) for name in weights)


@pytest.mark.parametrize("segments", [1, 2])
def test_tables_as_the_predecessors_have_them(segments):
    config = {**BERT, "position_offset": 2, "segments_num": segments}
    weights = model_of(config).state_dict()
    made, changed = with_their_tables(config, weights)
    assert "position_offset" not in made and made.get("segments_num", 2) == 2
    if segments == 2:
        assert torch.equal(states(made, changed), states(config, weights))
    else:
        rows = changed["embedding.parts.seg.weight"]
        assert torch.equal(rows, weights["embedding.parts.seg.weight"].expand(2, -1))
        model_of(made).load_state_dict(changed)


def test_norms_of_the_predecessors_beside_the_layers():
    legacy = {"legacy": {"layernorm_eps": 1e-6}}
    config = {**BERT, "layernorm": "legacy", "layernorm_eps": 1e-12}
    config |= {"embedding_layernorm": legacy, "target_layernorm": legacy}
    weights = model_of(config).state_dict()
    made, changed = with_layer_norms(config, weights)
    assert not {"embedding_layernorm", "target_layernorm"} & made.keys()
    torch.testing.assert_close(states(made, changed), states(config, weights), atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [with_layer_norms, in_halves, in_pairs, with_their_tables])
def test_other_models_stay(change):
    weights = model_of(BERT).state_dict()
    made, same = change(BERT, weights)
    assert made == BERT and all(same[name] is weights[name] for name in weights)


def test_a_mae_that_classifies_is_a_vit():
    config = {
        "embedding": ["patch", "gridpos"],
        "remove_embedding_layernorm": True,
        "image_height": 4,
        "image_width": 6,
        "patch_size": 2,
        "encoder": "transformer",
        "layernorm_positioning": "pre",
        **{key: value for key, value in TINY.items() if key != "max_seq_length"},
        "target": ["cls"],
        "classifier_hidden": False,
    }
    model = model_of(config)
    other, weights = with_learnt_positions(config, model.state_dict())
    learnt = model_of(other)
    learnt.load_state_dict(weights)
    batch = Batch({"src.image": torch.randn(2, 3, 4, 6)})
    with torch.no_grad():
        one, two = (m.heads["cls"].logits(m.states(batch)) for m in (model, learnt))
    assert torch.equal(one, two)
    made = export(other, weights)
    assert made.config["architectures"] == ["ViTForImageClassification"] and not made.left
    with_decoder = {**config, "decoder": "mae", "target": ["pixel"]}
    assert with_learnt_positions(with_decoder, weights)[0] == with_decoder
