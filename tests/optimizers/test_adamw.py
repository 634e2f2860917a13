import pytest
import torch

from uer.errors import ConfigError
from uer.optimizers.adamw import AdamW

RATE = 1e-2


def by_hand(weights, gradients, decay, correct):
    """The textbook loop, one weight at a time."""
    beta1, beta2, eps = 0.9, 0.999, 1e-6
    mean = square = torch.zeros_like(weights)
    for t, gradient in enumerate(gradients, start=1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        if correct:
            weights = weights * (1 - RATE * decay)
            step = mean / (1 - beta1**t) / ((square / (1 - beta2**t)).sqrt() + eps)
            weights = weights - RATE * step
        else:
            weights = weights - RATE * mean / (square.sqrt() + eps)
            weights = weights * (1 - RATE * decay)
    return weights


def run(correct, gradients, *, scale, start):
    param = torch.nn.Parameter(start.clone())
    bias = torch.nn.Parameter(start[0].clone())
    built = AdamW(correct_bias=correct, weight_decay=0.1).build(
        ([("w", param)], [("b", bias)]), RATE
    )
    for gradient in gradients:
        param.grad, bias.grad = gradient * scale, gradient[0] * scale
        built.grad_scale = torch.tensor(scale)
        built.step()
    return param.detach(), bias.detach()


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_equal_to_the_plain_loop(correct, scale):
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3), list(torch.randn(12, 4, 3))
    weight, bias = run(correct, gradients, scale=scale, start=start)
    exact = [g.double() for g in gradients]
    expected = by_hand(start.double(), exact, 0.1, correct)
    assert torch.allclose(weight.double(), expected, atol=2e-6)
    expected = by_hand(start[0].double(), [g[0] for g in exact], 0.0, correct)
    assert torch.allclose(bias.double(), expected, atol=2e-6)


def test_a_group_without_parameters_is_left_out():
    param = torch.nn.Parameter(torch.ones(2))
    built = AdamW().build(([], [("b", param)]), RATE)
    assert [group["weight_decay"] for group in built.param_groups] == [0.0]
    assert built.param_groups[0]["param_names"] == ["b"]


@pytest.mark.parametrize(
    "constants, message",
    [
        ({"beta1": 1.0}, "beta1 1.0"),
        ({"beta2": -0.1}, "beta2 -0.1"),
        ({"eps": 0.0}, "eps 0.0: must be a positive"),
        ({"weight_decay": float("nan")}, "weight_decay nan: must not be negative"),
    ],
)
def test_constants_out_of_range_are_refused(constants, message):
    with pytest.raises(ConfigError, match=message):
        AdamW(**constants)
