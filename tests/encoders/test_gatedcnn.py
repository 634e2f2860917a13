import pytest
import torch

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
from uer.states import States

KEYS = {"hidden_size": 6, "layers_num": 5, "kernel_size": 3, "block_size": 2}
HIDDEN = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))


def made(name="gatedcnn", **keys):
    torch.manual_seed(1)
    return build(Encoder, name, input_size=4, **{**KEYS, **keys}).eval()


def convolved(conv, row):
    """One causal convolution of a row [L, C], token by token."""
    kernel = conv.weight.shape[-1]
    padded = torch.cat((row.new_zeros(kernel - 1, row.shape[1]), row))
    windows = [padded[t : t + kernel] for t in range(len(row))]
    return torch.stack([torch.einsum("hck,kc->h", conv.weight, w) for w in windows]) + conv.bias


def gated(layer, row):
    return convolved(layer.conv, row) * convolved(layer.gate, row).sigmoid()


def test_it_is_its_formula():
    encoder, row = made(), HIDDEN[0]
    x = kept = gated(encoder.entry, row)
    for number, layer in enumerate(encoder.layers, start=1):
        x = gated(layer, x)
        if number in (2, 4):
            x = kept = x + kept
    torch.testing.assert_close(encoder(States(HIDDEN)).hidden[0], x, atol=1e-5, rtol=1e-5)


def test_a_token_sees_as_far_back_as_the_kernels_reach_and_never_ahead():
    encoder = made(layers_num=2)
    other = HIDDEN.clone()
    other[:, 3] += 1
    before, after = (encoder(States(h)).hidden[0] for h in (HIDDEN, other))
    noticed = (before != after).any(-1)
    assert noticed.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


def test_sizes_are_checked_together():
    with pytest.raises(ConfigError, match=r"(?s)kernel_size: 0 must be .*block_size: -1 must be"):
        made(kernel_size=0, block_size=-1)


def test_a_second_bias_counts_with_the_first():
    one, two = made(), made("legacy_gatedcnn")
    missing, unexpected = two.load_state_dict(one.state_dict(), strict=False)
    assert len(missing) == 10 and not unexpected
    torch.testing.assert_close(two(States(HIDDEN)).hidden, one(States(HIDDEN)).hidden)
    with torch.no_grad():
        two.entry.conv.bias_2.fill_(0.5)
        one.entry.conv.bias.add_(0.5)
    torch.testing.assert_close(two(States(HIDDEN)).hidden, one(States(HIDDEN)).hidden)
    assert len(two.entry.conv.no_decay()) == 2 and len(one.entry.conv.no_decay()) == 1
