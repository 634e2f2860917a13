import shutil

import pytest
import torch
from training_fakes import FakeEvaluationData, FakeModel, Memory, make_trainer, same_weights

from uer.errors import ConfigError
from uer.optimizers.adamw import AdamW
from uer.training.average import WeightAverage
from uer.training.checkpoint import load_trainer_state, load_weights
from uer.training.engines.single import SingleDevice
from uer.training.evaluation import Evaluation, evaluate
from uer.training.lazy import lazy, whole

GOOD, BAD = torch.tensor(0.0), torch.tensor(1.0)


def test_the_average_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    average, expected = WeightAverage(model, 0.5), model.weight.item()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(step, BAD if step % 7 == 0 else GOOD)
        if step % 7:
            keep = min(0.5, (1 + step) / (10 + step))  # from update 8 on 0.5
            expected = keep * expected + (1 - keep) * step
    assert average.weights({})["weight"].gather().item() == pytest.approx(expected, rel=1e-6)


def test_tied_weights_have_one_average_and_frozen_ones_none():
    model = FakeModel()
    model.encoder[0].bias.requires_grad_(False)
    lazies = WeightAverage(model, 0.9).weights(lazy(model.state_dict()))
    weights = whole(lazies)
    assert weights.keys() == model.state_dict().keys()
    assert weights["embedding.weight"] is weights["targets.tok.weight"]
    assert weights["encoder.0.bias"].data_ptr() == model.encoder[0].bias.data_ptr()
    assert weights["encoder.0.weight"].data_ptr() != model.encoder[0].weight.data_ptr()


def test_a_checkpoint_carries_an_average_that_can_stand_in_for_the_weights(tmp_path):
    trainer = make_trainer(tmp_path, total_steps=6, ema_decay=0.9)
    trainer.run()
    folder = tmp_path / "out-6"
    state = load_trainer_state(folder)
    shutil.copyfile(folder / "ema.safetensors", folder / "model.safetensors")
    averaged = FakeModel(seed=9)
    load_weights(averaged, folder)
    assert not same_weights(averaged, trainer.model)
    names = averaged.state_dict()
    assert all(torch.equal(names[name], mean) for name, mean in state.average.items())
    assert names.keys() == state.average.keys()


def test_evaluations_are_of_the_average(tmp_path, caplog):
    caplog.set_level("INFO")
    memory = Memory()
    options = {"total_steps": 6, "ema_decay": 0.9}
    evaluation = Evaluation(data=FakeEvaluationData())
    trainer = make_trainer(tmp_path / "a", evaluation=evaluation, writers=[memory], **options)
    trainer.run()
    assert "evaluations are of the running mean of the weights (ema_decay)" in caplog.messages
    averaged = FakeModel(seed=9)
    averaged.load_state_dict(load_trainer_state(tmp_path / "a" / "out-6").average)
    engine = SingleDevice()
    engine.prepare(averaged, lambda: AdamW().build(averaged.decay_groups(), 1e-3))
    step, figures = memory.reports[-1]
    expected = evaluate(engine, averaged, FakeEvaluationData())
    assert (step, figures) == (6, {f"eval/{name}": value for name, value in expected.items()})
    alone = make_trainer(tmp_path / "b", **options)  # evaluations leave the weights alone
    alone.run()
    assert same_weights(trainer.model, alone.model)


def test_a_failed_evaluation_gives_the_weights_back():
    model, before = FakeModel(), FakeModel()
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.encoder[0].bias.add_(1.0)
    with pytest.raises(RuntimeError, match="broken"), average.in_place():
        assert same_weights(model, before)
        raise RuntimeError("broken")
    torch.testing.assert_close(model.encoder[0].bias, before.encoder[0].bias + 1, rtol=0, atol=0)
    assert torch.equal(average.weights({})["encoder.0.bias"].gather(), before.encoder[0].bias)


def test_without_it_there_is_no_file(tmp_path):
    make_trainer(tmp_path, total_steps=2).run()
    assert not (tmp_path / "out-2" / "ema.safetensors").exists()
    assert load_trainer_state(tmp_path / "out-2").average == {}


def test_an_average_goes_on_after_a_resume(tmp_path):
    options = {"ema_decay": 0.9, "total_steps": 12, "save_checkpoint_steps": 5}
    straight = make_trainer(tmp_path / "a", **options)
    straight.run()
    make_trainer(tmp_path / "b", model=FakeModel(seed=5), **options).run(
        resume=tmp_path / "a" / "out-5"
    )
    left, right = (load_trainer_state(tmp_path / name / "out-12").average for name in "ab")
    assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_an_average_may_begin_at_a_resume(tmp_path):
    make_trainer(tmp_path, total_steps=4).run()
    trainer = make_trainer(tmp_path, model=FakeModel(seed=5), total_steps=5, ema_decay=0.9)
    trainer.run(resume=tmp_path / "out-4")
    before, after = FakeModel(), FakeModel()
    load_weights(before, tmp_path / "out-4")
    load_weights(after, tmp_path / "out-5")
    keep = 6 / 15  # of update 5
    expected = keep * before.encoder[0].weight + (1 - keep) * after.encoder[0].weight
    mean = load_trainer_state(tmp_path / "out-5").average["encoder.0.weight"]
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("sign", ["full_tensor", "ds_id"])
def test_divided_parameters_are_refused(sign):
    model = FakeModel()
    setattr(model.encoder[0].weight, sign, None)
    with pytest.raises(ConfigError, match=r"--ema_decay 0\.9: goes with engines in which"):
        WeightAverage(model, 0.9)


def test_rounded_parameters_are_refused():
    with pytest.raises(ConfigError, match=r"weights in torch\.bfloat16, too coarse .*--engine ddp"):
        WeightAverage(FakeModel().bfloat16(), 0.9)
