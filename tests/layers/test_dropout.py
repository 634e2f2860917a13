import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from uer.layers import dropout
from uer.layers.dropout import Dropout, MaskPool


@pytest.fixture(autouse=True)
def small_pool(monkeypatch):
    monkeypatch.setattr(dropout, "POOL", MaskPool(1 << 20))
    torch.manual_seed(3)


def test_nothing_is_dropped_at_rate_0_or_in_evaluation():
    x = torch.randn(4, 5)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x


def test_everything_is_dropped_at_rate_1():
    x = torch.randn(4, 5, requires_grad=True)
    y = Dropout(1.0)(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(4, 5)) and torch.equal(x.grad, torch.zeros(4, 5))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_expectation(rate):
    y = Dropout(rate)(torch.ones(500, 1000))
    n = y.numel()
    bound = 5 * (rate * (1 - rate) / n) ** 0.5  # five standard deviations
    assert abs(float((y == 0).double().mean()) - rate) < bound
    assert abs(float(y.double().mean()) - 1) < bound / (1 - rate)
    kept = y[y != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - rate)))


def test_calls_neighbours_and_rows_are_uncorrelated():
    layer, ones = Dropout(0.3), torch.ones(300, 1000)
    first, second = layer(ones), layer(ones)
    for a, b in ((first, second), (first[:, 1:], first[:, :-1]), (first[1:], first[:-1])):
        pair = torch.stack([a.flatten(), b.flatten()])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 / a.numel() ** 0.5


def test_the_gradient_is_the_mask():
    x = torch.randn(7, 300, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    assert torch.equal(x.grad, (y / x).detach().round(decimals=4).sign() / torch.tensor(0.6))


def test_the_gradient_survives_a_refresh_and_differentiates_again():
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.4)(x) ** 2
    dropout.POOL.advance(seed=9, update=5000)
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), x)
    scale = torch.where(y == 0, 0.0, 1 / 0.6).double()
    assert torch.allclose(gradient, 2 * x * scale**2)
    assert torch.allclose(second, 2 * scale**2)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 40),
    shape=st.lists(st.integers(0, 9), min_size=0, max_size=3),
    transposed=st.booleans(),
)
def test_any_shape_with_any_pool(size, shape, transposed):
    pool = MaskPool(size).multipliers(0.5, torch.float32)
    x = torch.rand(shape) + 1
    x = x.transpose(0, -1) if transposed and shape else x
    chunks = -(-x.numel() // size)
    offsets = torch.randint(size, (chunks,)).tolist()
    y = dropout._multiply(x, pool, offsets)
    expected = [
        float(value) * float(pool[(offsets[i // size] + i % size) % size])
        for i, value in enumerate(x.flatten())
    ]
    assert y.shape == x.shape
    assert torch.equal(y.flatten(), torch.tensor(expected))


def test_a_tensor_larger_than_the_pool_does_not_repeat_it(monkeypatch):
    monkeypatch.setattr(dropout, "POOL", MaskPool(1000))
    y = Dropout(0.5)(torch.ones(8, 1000))
    assert len({tuple(row.tolist()) for row in y}) == 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype):
    x = torch.ones(300, 1000, dtype=dtype, requires_grad=True)
    y = Dropout(0.1)(x)
    y.float().sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert float(y.detach().float().mean()) == pytest.approx(1, abs=0.005)


def test_the_generator_decides():
    x = torch.ones(1000)
    torch.manual_seed(5)
    first = Dropout(0.5)(x)
    torch.manual_seed(5)
    assert torch.equal(Dropout(0.5)(x), first)
    assert not torch.equal(Dropout(0.5)(x), first)


def test_masks_change_every_thousand_updates_and_with_the_seed():
    def masks(seed, update):
        pool = MaskPool(1000)
        pool.advance(seed, update)
        return pool.multipliers(0.5, torch.float32)

    assert torch.equal(masks(7, 1000), masks(7, 1999))
    assert not torch.equal(masks(7, 999), masks(7, 1000))
    assert not torch.equal(masks(7, 0), masks(8, 0))


def test_layers_of_one_rate_share_their_masks():
    pool = MaskPool(10)
    assert pool.multipliers(0.5, torch.float32) is pool.multipliers(0.5, torch.float32)


def test_a_fake_tensor_takes_torchs_own_dropout():
    with FakeTensorMode():
        x = torch.ones(4, 4)
        assert Dropout(0.5)(x).shape == (4, 4)


def test_it_prints_its_rate():
    assert repr(Dropout(0.25)) == "Dropout(rate=0.25)"
