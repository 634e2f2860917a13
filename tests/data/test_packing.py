import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.packing import plan_rows


@given(lengths=st.lists(st.integers(1, 40), max_size=80), spare=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_every_instance_has_one_place_and_no_row_overflows(lengths, spare):
    capacity = max(lengths, default=1) + spare
    rows = plan_rows(np.array(lengths, np.int64), capacity)
    assert sorted(i for row in rows for i in row.tolist()) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= capacity for row in rows)
    # A half-empty row could have been merged with another one.
    fill = sorted(sum(lengths[i] for i in row) for row in rows)
    assert len(fill) < 2 or fill[0] + fill[1] > capacity


def test_rows_are_in_the_order_of_their_first_instance():
    rows = plan_rows(np.array([3, 9, 5, 1, 2, 8]), 10)
    assert [row.tolist() for row in rows] == [[0, 2, 4], [1, 3], [5]]


def test_the_tightest_room_is_taken():
    assert [row.tolist() for row in plan_rows(np.array([7, 6, 3, 4]), 10)] == [[0, 2], [1, 3]]


def test_rows_are_nearly_full():
    lengths = np.random.default_rng(0).integers(5, 90, 1024)
    rows = plan_rows(lengths, 128)
    assert lengths.sum() / (128 * len(rows)) > 0.98


def test_nothing_to_plan():
    assert plan_rows(np.zeros(0, np.int64), 8) == []


def test_too_long_an_instance_is_our_mistake():
    with pytest.raises(AssertionError, match="longer than a row"):
        plan_rows(np.array([9]), 8)
