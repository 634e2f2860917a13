import pytest
import torch
from support import BERT, model_of
from training_fakes import FakeModel, make_settings, make_trainer

from uer.optimizers.adamw import AdamW
from uer.optimizers.muon import Muon
from uer.training.checkpoint import load_weights
from uer.training.rates import make_optimizer

TWO_SIDES = {
    **BERT,
    "embedding": ["word", "pos"],
    "tgt_embedding": ["word", "pos"],
    "decoder": "transformer",
    "target": "lm",
    "share_embedding": True,
    "tie_weights": False,
}


def rates(optimizer):
    """Each parameter's factor of the learning rate."""
    return {
        name: group.get("rate", 1.0)
        for group in optimizer.param_groups
        for name in group["param_names"]
    }


def made(folder, config, optimizer=None, **options):
    model = model_of(config)
    built = make_optimizer(optimizer or AdamW(), model, make_settings(folder, **options))
    names = {name for name, _ in model.named_parameters()}
    found = rates(built)
    assert found.keys() == names
    assert sum(len(g["params"]) for g in built.param_groups) == len(names)
    return built, found


def start(name):
    return ".".join(name.split(".")[: 3 if ".layers." in name else 1])


def test_rates_grow_from_the_embedding_to_the_heads(tmp_path):
    _, found = made(tmp_path, BERT, layerwise_decay=0.5)
    by_start = {start(name): rate for name, rate in found.items()}
    assert by_start == {
        "embedding": 0.125,
        "encoder.layers.0": 0.25,
        "encoder.layers.1": 0.5,
        "targets": 1.0,
    }
    assert all(rate == by_start[start(name)] for name, rate in found.items())


def test_both_sides_are_one_path_and_a_shared_table_belongs_to_its_beginning(tmp_path):
    _, found = made(tmp_path, TWO_SIDES, layerwise_decay=0.5)
    assert {start(name): rate for name, rate in found.items()} == {
        "embedding": 0.5**6,
        "encoder.layers.0": 0.5**5,
        "encoder.layers.1": 0.5**4,
        "tgt_embedding": 0.5**3,
        "decoder.layers.0": 0.5**2,
        "decoder.layers.1": 0.5,
        "targets": 1.0,
    }


def test_layers_that_share_parameters_are_one(tmp_path):
    _, found = made(tmp_path, {**BERT, "parameter_sharing": True}, layerwise_decay=0.5)
    assert found["embedding.parts.word.weight"] == 0.25
    assert {r for name, r in found.items() if "layers" in name} == {0.5}


def test_weight_decay_and_an_optimizers_own_ratio_are_kept(tmp_path):
    built, found = made(tmp_path, BERT, Muon(adamw_ratio=0.1), layerwise_decay=0.5)
    assert found["encoder.layers.1.attention.query.weight"] == 0.5
    assert found["encoder.layers.1.attention.query.bias"] == pytest.approx(0.05)
    decays = {n: g["weight_decay"] for g in built.param_groups for n in g["param_names"]}
    assert decays["encoder.layers.1.attention.query.weight"] == 0.1
    assert decays["encoder.layers.1.attention.query.bias"] == 0.0


def test_by_default_all_are_alike(tmp_path):
    built, found = made(tmp_path, BERT)
    assert set(found.values()) == {1.0} and len(built.param_groups) == 2


def test_training_follows_the_rates_and_resumes(tmp_path):
    """The first update of Adam moves every weight by its learning rate."""
    options = {"layerwise_decay": 0.5, "total_steps": 4, "save_checkpoint_steps": 1}
    trainer = make_trainer(tmp_path / "a", **options)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run()
    at_one = FakeModel(seed=3)
    load_weights(at_one, tmp_path / "a" / "out-1")
    moved = {n: float((p.detach() - before[n]).abs().max()) for n, p in at_one.named_parameters()}
    rate = 1e-2 * trainer.schedule.factor(0)
    expected = {"embedding.weight": 0.25, "encoder.0.weight": 0.5, "targets.doc.weight": 1.0}
    for name, factor in expected.items():
        assert moved[name] == pytest.approx(factor * rate, rel=0.05)
    again = make_trainer(tmp_path / "b", model=FakeModel(seed=3), **options)
    again.run(resume=tmp_path / "a" / "out-2")
    pairs = zip(trainer.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_hidden_layers_are_those_of_encoder_and_decoder():
    model = model_of(TWO_SIDES)
    starts = {".".join(name.split(".")[:2]) for name in model.hidden()}
    assert starts == {"encoder.layers", "decoder.layers"}
    assert len(model.hidden()) == sum(
        len(list(stack.layers.parameters())) for stack in (model.encoder, model.decoder)
    )
