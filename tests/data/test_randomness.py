import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw, mix

IDS = np.arange(20_000)


def correlation(a, b):
    return abs(float(np.corrcoef(a, b)[0, 1]))


def test_same_arguments_same_bits():
    again = Draw(7, 3).bits("mask", IDS, 5)
    assert np.array_equal(Draw(7, 3).bits("mask", IDS, 5), again)


def test_draws_are_pinned():
    # A changed hash would silently change every run that is resumed.
    assert Draw(7, 0).bits("mask", [0, 1, 2**40], [0, 0, 9]).tolist() == [
        16623228215292078594,
        14017530541936030974,
        10751985910716176289,
    ]
    assert mix(np.array([1], np.uint64)).tolist() == [6238072747940578789]


def test_a_draw_does_not_depend_on_its_neighbours():
    draw = Draw(1, 0)
    alone = [draw.uniform("x", [i], [j])[0] for i, j in zip(IDS[:20], IDS[20:40], strict=True)]
    assert draw.uniform("x", IDS[:20], IDS[20:40]).tolist() == alone


def test_counters_broadcast_against_ids():
    draw = Draw(1, 0)
    table = draw.bits("x", np.arange(3)[:, None], np.arange(4))
    assert table.shape == (3, 4)
    assert table[2, 1] == draw.bits("x", [2], [1])[0]
    assert len(np.unique(table)) == 12


@pytest.mark.parametrize("counters", [None, 0, IDS[::-1]])
def test_uniform_is_uniform(counters):
    u = Draw(1, 2).uniform("x", IDS, counters)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 1 / 2) < 0.01
    assert abs(u.var() - 1 / 12) < 0.003
    histogram = np.histogram(u, 20, (0, 1))[0]
    assert ((histogram - 1000) ** 2 / 1000).sum() < 50  # chi-squared, 19 degrees: p < 1e-4


def test_every_bit_is_fair():
    bits = Draw(1, 2).bits("x", IDS)
    ones = [((bits >> np.uint64(k)) & np.uint64(1)).mean() for k in range(64)]
    assert np.abs(np.array(ones) - 0.5).max() < 0.02


def test_purposes_epochs_seeds_counters_and_neighbours_are_unrelated():
    base = Draw(1, 0).uniform("x", IDS)
    others = [
        Draw(1, 0).uniform("y", IDS),
        Draw(1, 1).uniform("x", IDS),
        Draw(2, 0).uniform("x", IDS),
        Draw(1, 0).uniform("x", IDS, 0),
        Draw(1, 0).uniform("x", IDS, 1),
        np.roll(base, 1),
        np.roll(base, 64),
    ]
    assert max(correlation(base, other) for other in others) < 0.03


def test_seed_and_epoch_are_not_interchangeable():
    assert Draw(1, 2).key("x") != Draw(2, 1).key("x")
    assert Draw(1, 12).key("x") != Draw(11, 2).key("x")


@given(high=st.integers(1, 2**51), ident=st.integers(0, 2**60))
@settings(max_examples=50, deadline=None)
def test_integers_are_in_range(high, ident):
    assert 0 <= Draw(3, 0).integers("x", [ident], high)[0] < high


def test_integers_are_even_and_take_a_bound_per_id():
    counts = np.bincount(Draw(1, 0).integers("x", IDS, 7), minlength=7)
    assert len(counts) == 7 and np.abs(counts / len(IDS) - 1 / 7).max() < 0.01
    bounds = 1 + IDS % 5
    assert (Draw(1, 0).integers("x", IDS, bounds) < bounds).all()


def test_heads_are_binomial():
    tosses = np.full(len(IDS), 150)
    heads = Draw(1, 0).heads("x", IDS, tosses)
    assert abs(heads.mean() - 75) < 0.3 and abs(heads.var() - 37.5) < 2
    assert heads.min() >= 0 and heads.max() <= 150


def test_heads_of_few_tosses():
    assert Draw(1, 0).heads("x", IDS, np.zeros(len(IDS), np.int64)).max() == 0
    one = Draw(1, 0).heads("x", IDS, np.ones(len(IDS), np.int64))
    assert set(one.tolist()) == {0, 1} and abs(one.mean() - 0.5) < 0.02
    mixed = np.array([0, 1, 64, 65, 128])
    assert (Draw(1, 0).heads("x", np.arange(5), mixed) <= mixed).all()


def test_heads_of_one_id_do_not_depend_on_the_others():
    some, tosses = np.arange(6), np.array([3, 200, 64, 0, 70, 128])
    together = Draw(1, 0).heads("x", some, tosses)
    alone = [Draw(1, 0).heads("x", some[i : i + 1], tosses[i : i + 1])[0] for i in some]
    assert together.tolist() == alone
