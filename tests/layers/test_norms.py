import pytest
import torch
from torch import nn

from uer.builder import build
from uer.layers.base import Norm

STATES = 3 * torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)) + 1


def changed(name, eps):
    norm = build(Norm, name, size=16, layernorm_eps=eps)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(16, generator=draw))
    return norm


@pytest.mark.parametrize("eps", [1e-12, 0.1])
def test_normal_is_torchs_layer_norm(eps):
    norm, theirs = changed("normal", eps), nn.LayerNorm(16, eps=eps)
    theirs.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(STATES), theirs(STATES))


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_rms_is_torchs_rms_norm(eps):
    norm, theirs = changed("rms", eps), nn.RMSNorm(16, eps=eps)
    theirs.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(STATES), theirs(STATES))


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_legacy_divides_by_the_unbiased_deviation_plus_eps(eps):
    norm = changed("legacy", eps)
    mean = STATES.mean(-1, keepdim=True)
    deviation = ((STATES - mean).square().sum(-1, keepdim=True) / 15).sqrt()
    expected = norm.weight * (STATES - mean) / (deviation + eps) + norm.bias
    torch.testing.assert_close(norm(STATES), expected)


@pytest.mark.parametrize("name", ["normal", "legacy", "rms"])
def test_at_the_start_scale_is_one_and_shift_zero_and_nothing_decays(name):
    norm = build(Norm, name, size=8)
    for key, parameter in norm.named_parameters():
        assert torch.equal(parameter, torch.full((8,), float(key == "weight")))
    assert {id(p) for p in norm.no_decay()} == {id(p) for p in norm.parameters()}
