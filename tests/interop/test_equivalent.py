import pytest
import torch
from support import BERT, MODELS, batch_of, documents_of, model_of

from uer.interop.equivalent import in_halves, in_pairs, with_layer_norms

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


@pytest.mark.parametrize("change", [with_layer_norms, in_halves, in_pairs])
def test_other_models_stay(change):
    weights = model_of(BERT).state_dict()
    made, same = change(BERT, weights)
    assert made == BERT and all(same[name] is weights[name] for name in weights)
