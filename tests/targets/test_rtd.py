"""Replaced-token detection: what is sampled, labelled, shared, counted and kept."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TINY, VOCAB, batch_of, documents_of, model_of
from torch._subclasses.fake_tensor import FakeTensorMode

from uer.batch import Batch
from uer.builder import Planner
from uer.errors import ConfigError
from uer.model import Model
from uer.recipe import body_keys, read_recipe
from uer.targets import rtd
from uer.training.checkpoint import load_weights, save_checkpoint
from uer.training.cost import cost
from uer.training.engines.single import SingleDevice
from uer.training.evaluation import evaluate
from uer.training.state import Contents

GENERATOR = {
    "encoder": "transformer",
    **{key: TINY[key] for key in ("heads_num", "layers_num", "dropout")},
    "hidden_size": 8,
    "feedforward_size": 16,
    "target": ["mlm"],
    "tie_weights": True,
}
ELECTRA = {
    **TINY,
    "encoder": "transformer",
    "embedding": ["word", "pos", "seg"],
    "target": [{"rtd": {"weight": 50.0}}],
    "generator": GENERATOR,
}


def masked(lengths=(6, 9), rows=((0,), (1,)), width=None):
    """A batch whose predicted tokens are hidden, as a processor makes it: id 4 is [MASK]."""
    batch, place = batch_of(documents_of(lengths), rows, width)
    index = batch["labels.mlm.index"]
    ids = batch["src.ids"].flatten().scatter(0, index, 4).view_as(batch["src.ids"])
    return batch.replace(src__ids=ids), place


def original(batch):
    flat = batch["src.ids"].flatten()
    return flat.scatter(0, batch["labels.mlm.index"], batch["labels.mlm.value"])


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_labels_say_what_differs_from_the_original(lengths, seed):
    model = model_of(ELECTRA)
    batch, _ = masked(lengths, [[n] for n in range(len(lengths))])
    torch.manual_seed(seed)
    read, _ = model.heads["rtd"].prepare(batch)
    ids, index = read["src.ids"].flatten(), batch["labels.mlm.index"]
    torch.testing.assert_close(read["labels.rtd.value"], (ids != original(batch)).long())
    kept = torch.ones_like(ids).scatter(0, index, 0).bool()
    assert torch.equal(ids[kept], batch["src.ids"].flatten()[kept])


def test_a_correct_guess_counts_as_original(monkeypatch):
    model, (batch, _) = model_of(ELECTRA), masked()
    monkeypatch.setattr(rtd, "sample", lambda logits, temperature: batch["labels.mlm.value"])
    read, _ = model.heads["rtd"].prepare(batch)
    assert read["labels.rtd.value"].sum() == 0
    assert torch.equal(read["src.ids"].flatten(), original(batch))
    score = model(batch)["rtd"]
    assert score.metrics["recall"].weight == 0 and score.metrics["accuracy"].weight == 15


def test_samples_follow_the_predicted_probabilities():
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0, 2.0, -50.0])
    for temperature in (1.0, 2.0):
        drawn = rtd.sample(logits.expand(20_000, 4), temperature)
        shares = torch.bincount(drawn, minlength=4) / 20_000
        expected = (logits / temperature).softmax(-1)
        torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)


def test_the_discriminator_sends_no_gradient_through_the_samples():
    model, (batch, _) = model_of(ELECTRA), masked()
    model(batch)["rtd"].loss_sum.backward()
    generator = model.heads["rtd"].generator
    assert all(p.grad is None for p in generator.encoder.parameters())
    model.zero_grad(set_to_none=True)
    model(batch)["generator.mlm"].loss_sum.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in generator.parameters())


def test_padding_and_packing_change_nothing(monkeypatch):
    monkeypatch.setattr(rtd, "sample", lambda logits, temperature: logits.detach().argmax(-1))
    model = model_of(ELECTRA)
    assert model.packable
    lengths = (5, 3, 6, 4)
    apart = masked(lengths, [[0], [1], [2], [3]])[0]
    packed = masked(lengths, [[0, 1], [2, 3]], 13)[0]
    one, two = model(apart), model(packed)
    for name in ("generator.mlm", "rtd"):
        torch.testing.assert_close(one[name].loss_sum, two[name].loss_sum)
        assert model.weights(apart)[name] == model.weights(packed)[name]
    assert model.weights(apart) == {"generator.mlm": 10, "rtd": 18}


def test_a_batch_without_masked_tokens_has_no_items():
    model, (batch, _) = model_of(ELECTRA), masked()
    none = torch.zeros(0, dtype=torch.int64)
    batch = batch.replace(labels__mlm__index=none, labels__mlm__value=none)
    assert model.weights(batch) == {"generator.mlm": 0, "rtd": 0}
    scores = model(batch)
    assert scores["rtd"].loss_sum == 0 and scores["generator.mlm"].loss_sum == 0
    sum(score.loss_sum for score in scores.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_generator_that_is_not_packable_keeps_the_model_from_packing():
    recurrent = {**GENERATOR, "encoder": "lstm"}
    recurrent = {k: v for k, v in recurrent.items() if k not in ("heads_num", "feedforward_size")}
    assert not model_of({**ELECTRA, "generator": recurrent}).packable


def test_a_decoder_is_refused():
    sides = {"tgt_embedding": ["word", "pos"], "decoder": "transformer"}
    with pytest.raises(ConfigError, match="rtd reads the encoder's tokens; leave the decoder out"):
        model_of({**ELECTRA, **sides})


# ------------------------------------------------------------------------ the two models' parts


def test_without_an_embedding_of_its_own_the_generator_reads_with_the_models():
    model = model_of(ELECTRA)
    generator = model.heads["rtd"].generator
    assert generator.embedding is model.embedding
    assert generator.head.output.weight is model.embedding.table
    assert generator.encoder.projection.weight.shape == (8, 16)
    assert model.loss_weights == {"generator.mlm": 1.0, "rtd": 50.0}
    decayed, spared = model.decay_groups()
    names = [name for name, _ in (*decayed, *spared)]
    assert len(names) == len(set(names)) == len(list(model.parameters()))
    assert not [name for name in names if name.startswith("targets.rtd.generator.embedding")]
    assert any(name.endswith("mlm.norm.bias") for name in dict(spared))


def test_a_generator_may_have_an_embedding_of_its_own():
    own = {**GENERATOR, "embedding": ["word", "pos"], "emb_size": 8, "max_seq_length": 64}
    model = model_of({**ELECTRA, "generator": own})
    generator = model.heads["rtd"].generator
    assert generator.embedding.table.shape == (VOCAB, 8)
    assert generator.head.output.weight is generator.embedding.table
    assert model(masked()[0])["generator.mlm"].loss_sum > 0


@pytest.mark.parametrize("target", [["mlm", "sp"], ["lm"], []])
def test_a_generator_is_one_masked_language_model(target):
    generator = {**GENERATOR, "target": target, "tie_weights": False}
    with pytest.raises(ConfigError, match=r"generator\.target: .* must be one masked language mod"):
        model_of({**ELECTRA, "generator": generator})


def test_a_discriminator_alone_scores_what_the_batch_says_was_replaced():
    alone = model_of({key: value for key, value in ELECTRA.items() if key != "generator"})
    batch, _ = masked((5,), ((0,),))
    with pytest.raises(ConfigError, match="target 'rtd' needs the key 'generator' to be trained"):
        alone(batch)
    replaced = torch.tensor([0, 1, 0, 0, 1])
    scores = alone(Batch({**batch, "labels.rtd.value": replaced}))
    logits = alone.heads["rtd"].logits(alone.states(batch).hidden)[0]
    losses = torch.where(replaced == 1, logits.sigmoid(), 1 - logits.sigmoid()).log()
    assert list(scores) == ["rtd"] and not alone.heads["rtd"].companions()
    torch.testing.assert_close(scores["rtd"].loss_sum, -losses.sum())


def test_mistakes_of_a_configuration_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"generator_temperature: 0\.0 must be above 0"):
        model_of({**ELECTRA, "generator_temperature": 0.0})
    with pytest.raises(ConfigError, match=r"generator\.hiden_size: nobody asks"):
        model_of({**ELECTRA, "generator": {**GENERATOR, "hiden_size": 8}})
    with pytest.raises(ConfigError, match="'mlm' needs labels that the data processor 'lm' does"):
        read_recipe(None, {**ELECTRA, "data_processor": "lm"})


# ------------------------------------------------------------------------------ around the model


def test_a_step_never_waits_for_the_device():
    plan, (real, _) = Planner(ELECTRA).section(Model), masked()
    with FakeTensorMode() as mode:
        model = plan.build({"vocab_size": VOCAB}).train()
        batch = Batch({name: mode.from_tensor(value) for name, value in real.items()})
        scores = model(batch)
        sum(score.loss_sum for score in scores.values()).backward()
        assert all(p.grad is not None for p in model.parameters())


def test_work_is_counted_on_the_meta_device():
    plan = Planner(ELECTRA).section(Model)
    with torch.device("meta"):
        model = plan.build({"vocab_size": VOCAB})
    alone = Planner({**ELECTRA, "target": ["mlm"]}).section(Model)
    with torch.device("meta"):
        smaller = alone.build({"vocab_size": VOCAB})
    assert cost(model, masked()[0]).flops > cost(smaller, masked()[0]).flops


def test_evaluations_draw_alike_and_leave_the_runs_randomness_alone():
    model, engine = model_of(ELECTRA), SingleDevice()
    engine.prepare(model, lambda: torch.optim.AdamW(model.parameters(), fused=True))

    class Data:
        def once(self):
            yield masked()[0]

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = evaluate(engine, model, Data())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert evaluate(engine, model, Data()) == first


def test_checkpoints_hold_shared_tensors_once(tmp_path):
    model, other = model_of(ELECTRA), model_of(ELECTRA, seed=1)
    save_checkpoint(tmp_path / "made", model.state_dict(), Contents(config="{}"))
    report = load_weights(other, tmp_path / "made")
    assert not report.missing and not report.unexpected
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    # The discriminator alone goes into a classifier.
    keys = body_keys({**ELECTRA, "data_processor": "mlm"}, "cls")
    assert "generator" not in keys and keys["hidden_size"] == 16
    classifier = model_of(keys, seed=2)
    report = load_weights(classifier, tmp_path / "made")
    assert all(name.startswith("targets.rtd.") for name in report.unexpected)
    assert all(name.startswith("targets.cls.") for name in report.missing)
    for name, value in classifier.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)
