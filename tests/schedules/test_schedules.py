import math

import pytest
import torch
from transformers import get_scheduler

from uer.errors import ConfigError
from uer.schedules.base import schedules, warmup_steps
from uer.schedules.constant import Constant
from uer.schedules.constant_with_warmup import ConstantWithWarmup
from uer.schedules.cosine import Cosine
from uer.schedules.cosine_with_restarts import CosineWithRestarts
from uer.schedules.inverse_sqrt import InverseSqrt
from uer.schedules.linear import Linear
from uer.schedules.polynomial import Polynomial
from uer.schedules.tri_stage import TriStage
from uer.schedules.wsd import WarmupStableDecay

RATE = 1e-3


def theirs(name, *, total, warmup, specific, count):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = get_scheduler(name, optimizer, warmup, total, specific)
    rates = []
    for _ in range(count):
        rates.append(scheduler.get_last_lr()[0] / RATE)
        if len(rates) < count:
            optimizer.step()
            scheduler.step()
    return rates


@pytest.mark.parametrize("total, warmup", [(30, 7), (30, 0), (30, 30), (1, 0)])
@pytest.mark.parametrize(
    "name, make, specific",
    [
        ("linear", Linear, None),
        ("cosine", Cosine, None),
        ("cosine_with_restarts", CosineWithRestarts, None),
        (
            "cosine_with_restarts",
            lambda **facts: CosineWithRestarts(**facts, cycles=3),
            {"num_cycles": 3},
        ),
        ("polynomial", lambda **facts: Polynomial(**facts, learning_rate=RATE), None),
        (
            "polynomial",
            lambda **facts: Polynomial(
                **facts, learning_rate=RATE, power=2.0, end_learning_rate=1e-5
            ),
            {"power": 2.0, "lr_end": 1e-5},
        ),
        ("constant", lambda **_: Constant(), None),
        ("constant_with_warmup", ConstantWithWarmup, None),
        ("inverse_sqrt", InverseSqrt, None),
    ],
)
def test_equal_to_transformers(name, make, specific, total, warmup):
    ours = make(total_steps=total, warmup=warmup)
    # After the end their cosine rises again, and without a decay some of theirs divide by zero.
    count = total if name == "cosine" or warmup == total else total + 5
    expected = theirs(name, total=total, warmup=warmup, specific=specific, count=count)
    assert [ours.factor(s) for s in range(count)] == pytest.approx(expected, abs=1e-12)


def test_the_cosine_stays_at_zero_after_the_end():
    assert Cosine(total_steps=10, warmup=2).factor(14) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("warmup", [0, 10])
def test_tri_stage(warmup):
    schedule = TriStage(total_steps=100, warmup=warmup, lr_decay=0.5)
    for step in range(warmup):
        assert schedule.factor(step) == pytest.approx(0.01 + 0.99 * step / warmup)
    assert all(schedule.factor(step) == 1 for step in range(warmup, 51))
    decay = -math.log(0.05) / 50
    for step in range(50, 101):
        assert schedule.factor(step) == pytest.approx(math.exp(-decay * (step - 50)))
    assert schedule.factor(120) == pytest.approx(0.05)


def test_tri_stage_without_decay():
    assert TriStage(total_steps=10, warmup=0, lr_decay=0.0).factor(9) == 1


@pytest.mark.parametrize("warmup, end", [(10, 0.0), (0, 0.1)])
def test_wsd_equal_to_transformers(warmup, end):
    ours = WarmupStableDecay(total_steps=100, warmup=warmup, lr_decay=0.2, end_factor=end)
    specific = {
        "num_stable_steps": 80 - warmup,
        "num_decay_steps": 20,
        "decay_type": "linear",
        "min_lr_ratio": end,
    }
    expected = theirs(
        "warmup_stable_decay", total=None, warmup=warmup, specific=specific, count=110
    )
    assert [ours.factor(s) for s in range(110)] == pytest.approx(expected, abs=1e-12)
    assert ours.factor(80) == 1 and ours.factor(100) == end


def test_wsd_without_decay():
    assert WarmupStableDecay(total_steps=10, warmup=0, lr_decay=0.0).factor(9) == 1


@pytest.mark.parametrize(
    "warmup, steps", [(0, 0), (0.0, 0), (0.1, 100), (0.9996, 1000), (1, 1), (250.0, 250)]
)
def test_warmup_is_a_share_or_a_number(warmup, steps):
    assert warmup_steps(warmup, 1000) == steps


@pytest.mark.parametrize("warmup", [-1, 1.5, float("nan"), float("inf")])
def test_a_warmup_that_is_neither_is_refused(warmup):
    with pytest.raises(ConfigError, match="whole number of updates"):
        Linear(total_steps=10, warmup=warmup)


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ConfigError, match="longer than the run of 10 updates"):
        Linear(total_steps=10, warmup=11)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CosineWithRestarts(total_steps=9, cycles=0), "cycles 0: must be at least 1"),
        (
            lambda: Polynomial(total_steps=9, learning_rate=1e-8),
            "end_learning_rate 1e-07: must lie between",
        ),
        (lambda: Polynomial(total_steps=9, learning_rate=1.0, power=0), "power 0"),
        (lambda: TriStage(total_steps=9, start_factor=0), "start_factor 0: must lie"),
        (lambda: TriStage(total_steps=9, end_factor=2), "end_factor 2: must lie"),
        (lambda: TriStage(total_steps=9, lr_decay=1.5), "lr_decay 1.5: must lie"),
        (lambda: WarmupStableDecay(total_steps=9, end_factor=-1), "end_factor -1: must lie"),
        (lambda: WarmupStableDecay(total_steps=9, lr_decay=2.0), "lr_decay 2.0: must lie"),
        (lambda: WarmupStableDecay(total_steps=10, warmup=6, lr_decay=0.5), "longer than the run"),
        (lambda: TriStage(total_steps=10, warmup=6, lr_decay=0.5), "longer than the run of 10"),
    ],
)
def test_constants_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_registry_knows_them_all():
    assert schedules.names() == [
        "constant",
        "constant_with_warmup",
        "cosine",
        "cosine_with_restarts",
        "inverse_sqrt",
        "linear",
        "polynomial",
        "tri_stage",
        "wsd",
    ]
    assert all(schedules.get(name) for name in schedules.names())
