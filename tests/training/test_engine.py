import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS, batch_of, documents_of, model_of
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from training_fakes import FakeModel, FakeStream, rows_to_batch

from uer.errors import CheckpointError, ConfigError
from uer.optimizers.adamw import AdamW
from uer.training.engine import LossScale
from uer.training.engines.single import SingleDevice
from uer.training.evaluation import Window
from uer.training.update import update

RATE = 1e-2


def prepared(model, *, precision="fp32", max_grad_norm=0.0, correct_bias=True):
    engine = SingleDevice(precision=precision, max_grad_norm=max_grad_norm)
    adamw = AdamW(correct_bias=correct_bias)
    engine.prepare(model, lambda: adamw.build(model.decay_groups(), RATE))
    return engine


def largest_difference(left, right):
    pairs = zip(left.parameters(), right.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.05])
def test_four_micro_batches_of_8_are_one_batch_of_32(max_grad_norm):
    one, four = FakeModel(), FakeModel()
    whole = prepared(one, max_grad_norm=max_grad_norm)
    parts = prepared(four, max_grad_norm=max_grad_norm)
    for step in range(5):
        rows = torch.randperm(200, generator=torch.Generator().manual_seed(step))[:32].tolist()
        if step == 4:
            rows = rows[:27]  # a last window that is not full
        update(whole, one, [rows_to_batch(rows)], RATE)
        micro = [rows_to_batch(rows[i : i + 8]) for i in range(0, len(rows), 8)]
        update(parts, four, micro, RATE)
    assert largest_difference(one, four) < 1e-6
    assert largest_difference(one, FakeModel()) > 1e-3


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.integers(0, 50), min_size=1, max_size=12), data=st.data())
def test_any_division_into_micro_batches_is_one_batch(rows, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=4)) - {len(rows)})
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    one, many = FakeModel(), FakeModel()
    whole, divided = prepared(one), prepared(many)
    (report, _), (same, scored) = (
        update(whole, one, [rows_to_batch(rows)], 0.0),
        update(divided, many, [rows_to_batch(part) for part in parts], 0.0),
    )
    assert len(scored) == len(parts)
    assert float(same.grad_norm) == pytest.approx(float(report.grad_norm), rel=1e-4, abs=1e-7)
    means, others = whole.optimizer_state(), divided.optimizer_state()
    for name in means:
        assert torch.allclose(means[name], others[name], atol=1e-7), name


def test_a_micro_batch_without_items_changes_nothing():
    one, two = FakeModel(), FakeModel()
    rows = [1, 2, 5, 7]
    update(prepared(one), one, [rows_to_batch(rows)], RATE)
    update(prepared(two), two, [rows_to_batch([0, 12, 24]), rows_to_batch(rows)], RATE)
    assert largest_difference(one, two) < 1e-7


def test_an_update_without_any_item_is_exactly_zero():
    model = FakeModel()
    report, _ = update(prepared(model), model, [rows_to_batch([0, 12])], 0.0)
    assert float(report.grad_norm) == 0 and float(report.skipped) == 0
    assert largest_difference(model, FakeModel()) == 0


@pytest.mark.parametrize("limit", [0.02, 1e3])
def test_clipping_is_exactly_torchs(limit):
    ours, theirs = FakeModel(), FakeModel()
    engine = prepared(ours, max_grad_norm=limit)
    decay, no_decay = theirs.decay_groups()
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": no_decay, "weight_decay": 0.0}],
        lr=RATE,
        eps=1e-6,
    )
    for step in range(5):
        batch = rows_to_batch([step, step + 1, step + 2])
        scores, items = theirs(batch), theirs.weights(batch)
        loss = sum(
            theirs.loss_weights[n] * s.loss_sum / items[n] for n, s in scores.items() if items[n]
        )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        optimizer.step()
        optimizer.zero_grad()
        report, _ = update(engine, ours, [batch], RATE)
        assert float(report.grad_norm) == pytest.approx(float(norm), rel=1e-5)
        assert 0.02 < float(norm) < 1e3
    assert largest_difference(ours, theirs) < 1e-6
    # Adam hides a wrong scale of the gradients; its means do not.
    means = engine.optimizer_state()
    for name, param in theirs.named_parameters():
        expected = optimizer.state[param]["exp_avg"]
        assert torch.allclose(means[f"exp_avg/{name}"], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("correct_bias", [True, False])
def test_a_gradient_that_is_not_finite_changes_nothing(correct_bias):
    model = FakeModel()
    engine = prepared(model, correct_bias=correct_bias)
    update(engine, model, [rows_to_batch([1, 2, 3])], RATE)
    before, state = (
        copy.deepcopy(model),
        {k: v.clone() for k, v in engine.optimizer_state().items()},
    )
    model.loss_weights = {"tok": float("nan"), "doc": 1.0}
    report, _ = update(engine, model, [rows_to_batch([1, 2, 3])], RATE)
    assert float(report.skipped) == 1
    assert largest_difference(model, before) == 0
    assert all(torch.equal(v, state[k]) for k, v in engine.optimizer_state().items())


@pytest.mark.parametrize("correct_bias", [True, False])
def test_a_step_never_waits_for_the_device(correct_bias):
    """Fake tensors raise as soon as the host reads a value or a shape that depends on data."""
    with FakeTensorMode() as mode:
        model = FakeModel(dropout=0.1)
        engine = SingleDevice(max_grad_norm=1.0)
        # not `prepare`: tied fake parameters cannot be moved, and moving is no part of a step
        engine.model = model
        engine.optimizer = AdamW(correct_bias=correct_bias).build(model.decay_groups(), RATE)
    batches = [FakeStream().next(), FakeStream().next()]
    with mode:
        fake = [
            batch._made({k: mode.from_tensor(v) for k, v in batch.items()}) for batch in batches
        ]
        report, scored = update(engine, model, fake, RATE)
        assert report.skipped.shape == () and len(scored) == 2
        with pytest.raises(DataDependentOutputException):
            report.skipped.item()


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "classifier"])
def test_no_model_waits_for_the_device(kind):
    """Forward, backward, clipping, optimizer and metrics of the real models."""
    documents = documents_of([9, 7, 5, 6])
    batch, _ = batch_of(documents, [[0, 1], [2, 3]])
    with FakeTensorMode() as mode:
        model = model_of(MODELS[kind]).train()
        engine = SingleDevice(max_grad_norm=1.0)
        engine.model, engine.optimizer = model, AdamW().build(model.decay_groups(), RATE)
        window = Window(engine.device)
    with mode:
        fake = batch._made({name: mode.from_tensor(value) for name, value in batch.items()})
        report, scored = update(engine, model, [fake, fake], RATE)
        for scores, items in scored:
            window.add(scores, items, unless=report.skipped)
        with pytest.raises(DataDependentOutputException):
            window.state(engine)


def test_optimizer_state_by_name_returns():
    model, other = FakeModel(), FakeModel()
    engine = prepared(model)
    update(engine, model, [rows_to_batch([1, 2, 3])], RATE)
    state = {name: value.clone() for name, value in engine.optimizer_state().items()}
    assert "exp_avg/encoder.0.weight" in state and "step/embedding.weight" in state
    fresh = prepared(other)
    fresh.load_optimizer_state(state)
    other.load_state_dict(model.state_dict())
    for run, this in ((engine, model), (fresh, other)):
        update(run, this, [rows_to_batch([4, 5, 7])], RATE)
    assert largest_difference(model, other) == 0


def test_optimizer_state_of_another_model_is_refused():
    with pytest.raises(CheckpointError, match=r"knows a parameter encoder\.9\.bias"):
        prepared(FakeModel()).load_optimizer_state({"exp_avg/encoder.9.bias": torch.zeros(1)})


def test_an_optimizer_that_cannot_skip_is_refused():
    model = FakeModel()
    with pytest.raises(ConfigError, match="SGD cannot skip an update"):
        SingleDevice().prepare(model, lambda: torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_learns_and_keeps_fp32_weights(precision):
    model, exact = FakeModel(), FakeModel()
    low, full = prepared(model, precision=precision), prepared(exact)
    batch = rows_to_batch(list(range(30)))
    for _ in range(5):
        report, _ = update(low, model, [batch], RATE)
        exact_report, _ = update(full, exact, [batch], RATE)
        assert float(report.grad_norm) == pytest.approx(float(exact_report.grad_norm), rel=0.05)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert 0 < largest_difference(model, exact) < 2 * RATE


def test_the_fp16_loss_scale_follows_overflows_and_returns():
    scale = LossScale(torch.device("cpu"))
    scale.update(torch.tensor(1.0))
    assert scale.state() == {"loss_scale": 2.0**15, "good_updates": 0.0}
    for _ in range(2000):
        scale.update(torch.tensor(0.0))
    assert scale.state() == {"loss_scale": 2.0**16, "good_updates": 0.0}
    other, model = prepared(FakeModel(), precision="fp16"), FakeModel()
    other.load_state({"loss_scale": 4.0, "good_updates": 7.0})
    assert other.state() == {"loss_scale": 4.0, "good_updates": 7.0}
    exact = prepared(model)
    exact.load_state({})
    assert exact.state() == {}
