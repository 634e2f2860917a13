"""Adapters in models: what is adapted, what is trained, and what a state holds."""

import pytest
import torch
from support import BERT, MODELS, batch_of, documents_of, model_of
from torch import nn

from uer.errors import ConfigError, UserError
from uer.training import lora
from uer.training.freezing import freeze, matching, trained_line
from uer.training.lora import adapt, digest
from uer.training.settings import Settings


def settings(**keys):
    return Settings(output_model_path="-", use_lora=True, **keys)


def batch():
    return batch_of(documents_of([9, 7]), [[0], [1]])[0]


def losses(model):
    return {name: score.loss_sum for name, score in model(batch()).items()}


def disturbed(model):
    """Give the differences values: B is zero at first."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
    return model


@pytest.mark.parametrize("name", [*MODELS, "one key-value head"])
def test_differences_are_those_of_the_weights(name):
    """A model with adapters computes what one with W + alpha / r · B·A computes."""
    config = MODELS.get(name) or {**MODELS["llama"], "kv_heads_num": 1}
    model, plain = model_of(config), model_of(config)
    before = losses(model)
    chosen = adapt(model, settings(lora_r=3, lora_alpha=6.0))
    assert [module.rpartition(".")[2] for module in chosen] == ["query", "value"] * (
        len(chosen) // 2
    )
    assert all(torch.equal(losses(model)[key], before[key]) for key in before)
    state = disturbed(model).state_dict()
    assert state.keys() == {f"{m}.lora_{x}.default.weight" for m in chosen for x in "AB"}
    assert state.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for module in chosen:
            down, up = (state[f"{module}.lora_{part}.default.weight"] for part in "AB")
            plain.get_submodule(module).weight.add_(2.0 * up @ down)
    for key, loss in losses(plain).items():
        assert not torch.equal(losses(model)[key], before[key])
        torch.testing.assert_close(losses(model)[key], loss, rtol=1e-6, atol=1e-6)


def test_only_what_is_trained_gets_a_gradient():
    model = model_of(BERT).train()
    adapt(model, settings(lora_modules_to_save=["targets.sp", "*.attention.output.bias"]))
    torch.stack(list(losses(model).values())).sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, p in model.named_parameters() if p.requires_grad}
    assert with_gradient == set(model.state_dict())
    others = {name for name in with_gradient if ".lora_" not in name}
    assert others == {
        *(f"encoder.layers.{layer}.attention.output.bias" for layer in (0, 1)),
        *(f"targets.sp.{m}.{p}" for m in ("hidden", "output") for p in ("weight", "bias")),
    }


def test_streams_that_are_one_share_their_adapters():
    stream = {key: BERT[key] for key in BERT if key not in ("target", "tie_weights")}
    tied = {"embedding": "dual", "encoder": "dual", "target": ["clr"], "tie_streams": True}
    model = model_of({**tied, "stream_0": stream, "stream_1": stream})
    chosen = adapt(model, settings())
    names = model.state_dict()
    assert len(names) == 4 * len(chosen)  # A and B, under the names of both streams
    left = names["encoder.streams.0.layers.1.attention.query.lora_A.default.weight"]
    right = names["encoder.streams.1.layers.1.attention.query.lora_A.default.weight"]
    assert left.data_ptr() == right.data_ptr()


def test_what_cannot_be_adapted(monkeypatch):
    recurrent = {**BERT, "encoder": "gru", "target": ["mlm"]}
    for key in ("feedforward_size", "heads_num"):
        recurrent.pop(key)
    with pytest.raises(ConfigError, match=r"no attention.* --lora_targets \(such as targets\.mlm"):
        adapt(model_of(recurrent), settings())
    with pytest.raises(ConfigError, match="is trained whole, or shares its weights with another"):
        adapt(model_of(BERT), settings(lora_targets=["targets.mlm.output"]))
    with pytest.raises(ConfigError, match="--lora_modules_to_save target: matches nothing"):
        adapt(model_of(BERT), settings(lora_modules_to_save=["target"]))
    with pytest.raises(ConfigError, match=r"--lora_r 0: must be at least 1"):
        settings(lora_r=0)
    monkeypatch.setitem(lora.importlib.sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs the extra 'lora': pip install 'uer\[lora\]'"):
        adapt(model_of(BERT), settings())


def test_every_linear_map_can_be_adapted_but_not_what_is_shared(caplog):
    caplog.set_level("INFO")
    model = model_of(BERT)
    linear = {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert set(adapt(model, settings(lora_targets=["*"]))) == linear - {"targets.mlm.output"}
    assert "leaves out what serves in several places: targets.mlm.output" in caplog.text


def test_a_digest_tells_weights_apart():
    state = {f"a.lora_{part}.default.weight": torch.zeros(1, 1) for part in "AB"}
    weights = {"a.weight": torch.randn(100, 100), "b.weight": torch.zeros(3)}
    same = {**weights, "b.weight": torch.ones(3)}  # what nothing is added to does not count
    assert digest(weights, state) == digest(same, state)
    other = {**weights, "a.weight": weights["a.weight"] + 1e-3}
    assert digest(weights, state) != digest(other, state)
    assert digest(weights, state) != digest({"a.weight": weights["a.weight"].T.clone()}, state)


def test_patterns():
    names = ["a.b.weight", "a.b.bias", "a.bc.weight", "d"]
    assert matching(names, ["a.b"], "x") == names[:2]
    assert matching(names, ["d", "*.weight"], "x") == ["a.b.weight", "a.bc.weight", "d"]
    with pytest.raises(ConfigError, match=r"--x a\.bb: matches nothing; did you mean 'a\.b[c]?'"):
        matching(names, ["a.bb"], "x")
    with pytest.raises(ConfigError, match=r"--x 7: matches nothing; names are such as a\.b"):
        matching(names, ["7"], "x")


def test_frozen_parameters_of_adapters():
    """Patterns mean the names without adapters, and adapters themselves."""
    model = model_of(BERT)
    adapt(model, settings(lora_modules_to_save=["*.query.bias"]))
    freeze(model, ["encoder.layers.0", "*.attention.query.bias"])
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 4 and all(name.startswith("encoder.layers.1.") for name in trained)
    assert trained < set(model.state_dict())
    assert trained_line(model).startswith("512 of 8,020 parameters are trained")
