import pytest
import torch

from uer.errors import ConfigError
from uer.optimizers.lamb import Lamb

RATE, EPS = 1e-2, 1e-6


def by_hand(start, gradients, *, decay, betas=(0.9, 0.999), adapt=True):
    """Algorithm 2 of the paper in double precision, with φ the identity."""
    x = start.double()
    m = v = torch.zeros_like(x)
    for t, g in enumerate((g.double() for g in gradients), start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        r = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + EPS)
        change = r + decay * x
        norms = float(x.norm()), float(change.norm())
        ratio = norms[0] / norms[1] if adapt and all(norms) else 1.0
        x = x - RATE * ratio * change
    return x


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.99)])
def test_equal_to_the_papers_algorithm(betas):
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(5, 3, generator=draw), torch.randn(12, 5, 3, generator=draw)
    weight, bias = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start[0].clone())
    built = Lamb(weight_decay=0.1, beta1=betas[0], beta2=betas[1]).build(
        ([("w", weight)], [("b", bias)]), RATE
    )
    for gradient in gradients:
        weight.grad, bias.grad = gradient.clone(), gradient[0].clone()
        built.step()
    expected = by_hand(start, gradients, decay=0.1, betas=betas)
    assert torch.allclose(weight.double(), expected, atol=2e-6)
    expected = by_hand(start[0], [g[0] for g in gradients], decay=0.0, betas=betas, adapt=False)
    assert torch.allclose(bias.double(), expected, atol=2e-6)


def test_steps_follow_the_size_of_the_weights():
    for size in (1.0, 100.0):
        param = torch.nn.Parameter(torch.full((4, 4), size))
        built = Lamb(weight_decay=0.0).build(([("w", param)], []), RATE)
        param.grad = torch.randn(4, 4)
        built.step()
        change = (param.detach() - size).norm() / (4 * size)
        assert float(change) == pytest.approx(RATE, rel=1e-4)


def test_weights_of_zero_take_plain_steps():
    param = torch.nn.Parameter(torch.zeros(2, 2))
    built = Lamb().build(([("w", param)], []), RATE)
    param.grad = torch.ones(2, 2)
    built.step()
    assert torch.allclose(param, torch.full((2, 2), -RATE), rtol=1e-4)


def test_constants_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"beta2 1\.5"):
        Lamb(beta2=1.5)
