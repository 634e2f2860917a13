import pytest
import torch
from torch.nn import functional as F

from uer.builder import build
from uer.layers.base import FeedForward

STATES = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
FUNCTIONS = {
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "gelu_fast": lambda x: x * torch.sigmoid((8 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)),
    "relu": lambda x: x.clamp(min=0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "linear": lambda x: x,
}


def made(name, **keys):
    torch.manual_seed(2)
    return build(FeedForward, name, hidden_size=8, feedforward_size=12, **keys)


@pytest.mark.parametrize("act", FUNCTIONS)
def test_dense_is_two_maps_with_an_activation_between(act):
    block = made("dense", hidden_act=act)
    inner = FUNCTIONS[act](STATES @ block.up.weight.T + block.up.bias)
    torch.testing.assert_close(block(STATES), inner @ block.down.weight.T + block.down.bias)


@pytest.mark.parametrize("act", FUNCTIONS)
def test_gated_multiplies_by_the_activated_gate(act):
    block = made("gated", hidden_act=act)
    inner = FUNCTIONS[act](F.linear(STATES, block.gate.weight, block.gate.bias))
    inner = inner * F.linear(STATES, block.up.weight, block.up.bias)
    torch.testing.assert_close(block(STATES), F.linear(inner, block.down.weight, block.down.bias))


@pytest.mark.parametrize("name", ["dense", "gated"])
def test_biases_can_be_left_out_and_start_at_zero(name):
    with_bias, without = made(name), made(name, remove_transformer_bias=True)
    biases = [key for key, _ in with_bias.named_parameters() if key.endswith("bias")]
    assert biases and all(not with_bias.get_parameter(key).any() for key in biases)
    assert not [key for key, _ in without.named_parameters() if key.endswith("bias")]
    torch.testing.assert_close(with_bias(STATES), without(STATES))


def test_weights_start_at_a_deviation_of_two_hundredths():
    torch.manual_seed(0)
    block = build(FeedForward, "dense", hidden_size=256, feedforward_size=512)
    for weight in (block.up.weight, block.down.weight):
        assert abs(weight.std().item() - 0.02) < 3e-4 and abs(weight.mean().item()) < 3e-4
