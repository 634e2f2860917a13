import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.packing import plan_rows, plan_sides


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


sides = st.integers(1, 30).flatmap(
    lambda top: st.lists(st.tuples(st.integers(1, top), st.integers(1, 9)), max_size=60)
)


@given(lengths=sides, spare=st.tuples(st.integers(0, 40), st.integers(0, 20)))
@settings(max_examples=100, deadline=None)
def test_two_sides_share_a_plan_and_neither_overflows(lengths, spare):
    both = np.array(lengths, np.int64).reshape(-1, 2)
    capacities = both.max(axis=0, initial=1) + spare
    rows = plan_sides(
        {"src": both[:, 0], "tgt": both[:, 1]}, {"src": capacities[0], "tgt": capacities[1]}
    )
    assert sorted(i for row in rows for i in row.tolist()) == list(range(len(lengths)))
    fill = [both[row].sum(axis=0) for row in rows]
    assert all((used <= capacities).all() for used in fill)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    # Any two rows together are too much for one: otherwise the second would not have been opened.
    for one in range(len(fill)):
        for other in range(one):
            assert (fill[one] + fill[other] > capacities).any()


def test_one_side_is_planned_as_ever():
    lengths = np.array([3, 9, 5, 1, 2, 8])
    assert [row.tolist() for row in plan_sides({"src": lengths}, {"src": 10})] == [
        row.tolist() for row in plan_rows(lengths, 10)
    ]


def test_both_budgets_are_well_used():
    random = np.random.default_rng(0)
    source = random.integers(5, 90, 1024)
    rows = plan_sides({"src": source, "tgt": source // 2 + 2}, {"src": 128, "tgt": 80})
    assert source.sum() / (128 * len(rows)) > 0.95
