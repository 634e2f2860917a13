"""Lengths behind convolutions, against the convolutions themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uer.errors import ConfigError
from uer.frames import frames_after, shortest
from uer.layers.subsampling import (
    at_least,
    checked_convolutions,
    validity_of,
)

STACKS = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 4)), min_size=1, max_size=4)


@given(STACKS, st.booleans(), st.integers(1, 200))
def test_as_long_as_torch_makes_it(stack, padding, length):
    kernels, strides = zip(*stack, strict=True)
    row = torch.zeros(1, 1, length)
    for kernel, stride in stack:
        pad = kernel // 2 if padding else 0
        if row.shape[-1] + 2 * pad < kernel:
            row = row[..., :0]
            break
        row = torch.nn.functional.conv1d(row, torch.zeros(1, 1, kernel), None, stride, pad)
    assert frames_after(length, kernels, strides, padding) == row.shape[-1]
    least = shortest(kernels, strides, padding)
    assert (length >= least) == (row.shape[-1] > 0)


def test_integers_arrays_and_tensors():
    wave = ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), False)
    assert frames_after(16000, *wave) == 49  # a second of wav2vec 2.0
    assert frames_after(np.array([400, 399, 0]), *wave).tolist() == [1, 0, 0]
    assert frames_after(torch.tensor([720, 1]), *wave).tolist() == [2, 0]
    assert shortest(*wave) == 400
    assert frames_after(100, (5, 5), (2, 2), True) == 25
    assert frames_after(0, (5, 5), (2, 2), True) == 0


def test_validity_is_left_out_where_rows_are_full():
    assert validity_of(torch.tensor([3, 3]), 3) is None
    assert validity_of(torch.tensor([3, 1]), 3).tolist() == [[True] * 3, [True, False, False]]


def test_rows_are_as_long_as_one_frame_needs():
    rows = torch.ones(2, 3, 4)
    assert at_least(rows, 3) is rows
    longer = at_least(rows, 5)
    assert longer.shape == (2, 5, 4) and longer[:, 3:].eq(0).all() and longer[:, :3].eq(1).all()
    assert at_least(torch.ones(2, 3), 5).tolist() == [[1, 1, 1, 0, 0]] * 2


def test_what_is_refused():
    with pytest.raises(ConfigError, match="one number for each convolution") as error:
        checked_convolutions([8, 0], [3, 3], [2])
    assert "conv_channels: [8, 0]" in str(error.value)
