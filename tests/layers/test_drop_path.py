import pytest
import torch

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
from uer.layers.base import AttentionContext, Layer
from uer.layers.drop_path import DropPath
from uer.states import States

SIZES = {"hidden_size": 8, "feedforward_size": 16, "heads_num": 2, "dropout": 0.0}


def test_rows_are_left_out_whole_and_the_others_make_up_for_them():
    torch.manual_seed(0)
    part, block = DropPath(0.25), torch.rand(4000, 3, 2) + 0.5
    made = part.train()(block)
    out = (made == 0).all(-1).all(-1)
    assert abs(out.float().mean() - 0.25) < 0.03
    torch.testing.assert_close(made[~out], block[~out] / 0.75)
    assert part.eval()(block) is block
    assert DropPath(0.0).train()(block) is block


def test_all_rows_cannot_be_left_out():
    with pytest.raises(ConfigError, match=r"drop_path: 1.0 is not from 0 to below 1"):
        DropPath(1.0)


def test_the_rate_grows_with_the_depth():
    encoder = build(Encoder, "transformer", input_size=8, layers_num=3, drop_path=0.4, **SIZES)
    assert [layer.drop_path.rate for layer in encoder.layers] == pytest.approx([0.0, 0.2, 0.4])


@pytest.mark.parametrize("where", ["pre", "post"])
def test_a_row_without_blocks_is_what_it_was(where):
    torch.manual_seed(0)
    layer = build(
        Layer, "transformer", layernorm_positioning=where, drop_path=0.9, depth=1.0, **SIZES
    ).train()
    hidden = torch.randn(400, 3, 8)
    context = AttentionContext(States(hidden).self_mask("fully_visible"))
    made, still = layer(hidden, context), hidden
    if where == "post":
        still = layer.feed_forward_norm(layer.attention_norm(hidden))
    same = torch.isclose(made, still, atol=1e-6).all(-1).all(-1)
    assert 0.75 < same.float().mean() < 0.87  # both blocks left out: 0.9 squared


@pytest.mark.parametrize("where", ["pre", "post"])
def test_blocks_pass_through_learnt_factors(where):
    torch.manual_seed(0)
    keys = {"layernorm_positioning": where, **SIZES}
    plain = build(Layer, "transformer", **keys)
    scaled = build(Layer, "scaled", layer_scale=1e-5, **keys)
    scaled.load_state_dict(plain.state_dict(), strict=False)
    hidden = torch.randn(2, 3, 8)
    context = AttentionContext(States(hidden).self_mask("fully_visible"))
    if where == "pre":
        torch.testing.assert_close(scaled(hidden, context), hidden, atol=1e-4, rtol=0)
    one, two = torch.rand(2, 8)
    with torch.no_grad():
        scaled.attention_scale.copy_(one)
        scaled.feed_forward_scale.copy_(two)
        # The same by scaling the rows of each block's last map.
        for factor, last in ((one, plain.attention.output), (two, plain.feed_forward.down)):
            last.weight.mul_(factor[:, None])
            last.bias.mul_(factor)
    torch.testing.assert_close(scaled(hidden, context), plain(hidden, context))
    assert scaled.no_decay() == [scaled.attention_scale, scaled.feed_forward_scale]
