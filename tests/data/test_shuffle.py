import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uer.data.shuffle import permute


@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
@example(size=1, key=0)
@example(size=2, key=1)
@example(size=4096, key=2**64 - 1)
@example(size=4097, key=5)
@settings(max_examples=100, deadline=None)
def test_is_a_bijection(size, key):
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


@given(size=st.integers(2, 2**40), key=st.integers(0, 2**64 - 1), data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_part_is_the_part_of_the_whole(size, key, data):
    index = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=9)))
    items = permute(index, size, key)
    assert items.min() >= 0 and items.max() < size
    assert items.tolist() == [permute(index[i : i + 1], size, key)[0] for i in range(len(index))]


def test_does_not_change_its_argument():
    index = np.arange(10)
    permute(index, 10, 3)
    assert index.tolist() == list(range(10))


def test_keys_give_different_orders():
    orders = {tuple(permute(np.arange(50), 50, key)) for key in range(100)}
    assert len(orders) == 100


def test_every_item_comes_equally_often_to_every_place():
    size, keys = 7, 1400
    table = np.zeros((size, size))
    for key in range(keys):
        table[np.arange(size), permute(np.arange(size), size, key)] += 1
    expected = keys / size
    assert ((table - expected) ** 2 / expected).sum() < 80  # chi-squared, 36 degrees: p < 1e-4


def test_small_sets_see_all_orders():
    assert len({tuple(permute(np.arange(4), 4, key)) for key in range(1000)}) == 24


def test_neighbours_part():
    order = permute(np.arange(10_000), 10_000, 1)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.05
