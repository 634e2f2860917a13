import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.layers.pooling import pool
from uer.states import States

ALONE = {
    "first": lambda one: one[0],
    "last": lambda one: one[-1],
    "mean": lambda one: one.mean(0),
    "max": lambda one: one.amax(0),
}


@pytest.mark.parametrize("how", ALONE)
@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=4),
    more=st.integers(0, 2),
)
def test_documents_of_packed_and_padded_rows_are_pooled_as_if_alone(how, rows, more):
    width = max(map(sum, rows)) + more
    hidden = torch.randn(len(rows), width, 3, requires_grad=True)
    first, length = [], []
    for number, row in enumerate(rows):
        place = number * width
        for size in row:
            first.append(place)
            length.append(size)
            place += size
    states = States(hidden, first=torch.tensor(first), length=torch.tensor(length))
    flat = hidden.flatten(0, 1)
    alone = [flat[f : f + n] for f, n in zip(first, length, strict=True)]
    pooled = pool(states, how)
    torch.testing.assert_close(pooled, torch.stack([ALONE[how](one) for one in alone]))
    (gradient,) = torch.autograd.grad(pooled.sum(), hidden)
    inside = torch.zeros(len(flat), dtype=torch.bool)
    for f, n in zip(first, length, strict=True):
        inside[f : f + n] = True
    assert not gradient.flatten(0, 1)[~inside].any()  # padding has no part in it


@pytest.mark.parametrize("how", ALONE)
def test_whole_rows_without_any_geometry(how):
    hidden = torch.randn(3, 4, 5)
    expected = torch.stack([ALONE[how](row) for row in hidden])
    torch.testing.assert_close(pool(States(hidden), how), expected)


@pytest.mark.parametrize("how", ALONE)
def test_padded_rows_know_their_lengths(how):
    hidden = torch.randn(2, 4, 5)
    states = States(hidden, length=torch.tensor([4, 2]))
    expected = torch.stack([ALONE[how](hidden[0]), ALONE[how](hidden[1, :2])])
    torch.testing.assert_close(pool(states, how), expected)
