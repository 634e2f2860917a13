"""Both libraries compute the same."""

import pytest
import torch
from torch.nn import functional as F

from uer.layers import product
from uer.layers.linear import Linear

there = torch.backends.mkldnn.is_available()
pytestmark = pytest.mark.skipif(not there, reason="torch was built without oneDNN")


@pytest.fixture(autouse=True)
def onednn(monkeypatch):
    """On this processor too, however small the product."""
    monkeypatch.setattr(product, "_onednn_leads", lambda: True)
    monkeypatch.setattr(product, "_WORTHWHILE", 0)


def taken(values):
    return values.grad_fn is not None and "_Linear" in values.grad_fn.name()


def tensors(shape, outputs, *, bias=True):
    draw = torch.Generator().manual_seed(0)
    made = [torch.randn(*shape, generator=draw), torch.randn(outputs, shape[-1], generator=draw)]
    made.append(torch.randn(outputs, generator=draw) if bias else None)
    return [None if one is None else one.requires_grad_() for one in made]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(33, 24), (3, 11, 24), (1, 24), (0, 24), (2, 0, 24), (24,)])
def test_results_and_gradients_are_torchs(shape, bias):
    given = tensors(shape, 40, bias=bias)
    some = [one for one in given if one is not None]
    ours, theirs = product.linear(*given), F.linear(*given)
    assert taken(ours)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    weights = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1))
    one, other = (torch.autograd.grad((made * weights).sum(), some) for made in (ours, theirs))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def test_strided_values_and_gradients():
    values, weight, bias = tensors((5, 7, 24), 40)
    ours = product.linear(values.transpose(0, 1), weight, bias).transpose(0, 1)
    theirs = F.linear(values, weight, bias)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    one, other = (torch.autograd.grad(m.square().sum(), [values, weight]) for m in (ours, theirs))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-5)


def test_gradients_have_gradients():
    found = []
    for linear in (product.linear, F.linear):
        values, weight, bias = tensors((6, 24), 10)
        made = linear(values, weight, bias).square().sum()
        (first,) = torch.autograd.grad(made, [values], create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [values, weight]))
    torch.testing.assert_close(*found, atol=1e-2, rtol=1e-4)


def test_only_what_needs_a_gradient_gets_one():
    values, weight, bias = tensors((6, 24), 10)
    made = product.linear(values.detach(), weight, bias.detach())
    made.sum().backward()
    assert values.grad is None and bias.grad is None and weight.grad is not None


def test_what_is_not_plain_float32_is_left_to_torch():
    layer, values = Linear(24, 40), torch.randn(6, 24)
    assert taken(layer(values))
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(values)
    assert low.dtype == torch.bfloat16 and not taken(low)
    assert not taken(layer.double()(values.double()))
    with torch.device("meta"):
        assert Linear(24, 40)(torch.empty(6, 24)).shape == (6, 40)


def test_small_products_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(product, "_WORTHWHILE", 6 * 24 * 40)
    layer = Linear(24, 40)
    assert taken(layer(torch.randn(6, 24))) and not taken(layer(torch.randn(5, 24)))
