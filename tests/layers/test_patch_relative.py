"""BEiT's relative positions against those of transformers."""

import pytest
import torch

from uer.builder import build
from uer.errors import DataError
from uer.grid import Grid
from uer.layers.base import Attention, AttentionContext, Position
from uer.layers.positions.patch_relative import buckets
from uer.states import States

CPU = torch.device("cpu")
SIZES = {"heads_num": 2, "image_height": 12, "image_width": 12, "patch_size": 4}


def states(rows, columns, position=None, known=(3, 3)):
    tokens = 1 + rows * columns if position is None else position.shape[1]
    hidden = torch.randn(2, tokens, 8, generator=torch.Generator().manual_seed(0))
    return States(hidden, position=position, grid=Grid(known, (rows, columns), 1))


def bias(part, of):
    return part(of.self_mask("fully_visible"), CPU).bias()


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 5)])
def test_buckets_are_those_of_beit(rows, columns):
    from transformers.models.beit.modeling_beit import BeitRelativePositionBias

    theirs = BeitRelativePositionBias.generate_relative_position_index((rows, columns))
    place = torch.arange(1 + rows * columns)[None]
    assert torch.equal(buckets(place, place, states(rows, columns).grid)[0], theirs)


@pytest.mark.parametrize("size", [(3, 3), (4, 5)])
def test_the_bias_is_that_of_beit_also_for_images_of_another_size(size):
    from transformers import BeitConfig
    from transformers.models.beit.modeling_beit import BeitRelativePositionBias

    theirs = BeitRelativePositionBias(
        BeitConfig(image_size=12, patch_size=4, num_attention_heads=2, hidden_size=8)
    )
    ours = build(Position, "patch_relative", **SIZES)
    theirs.relative_position_bias_table.data.copy_(ours.weight)
    torch.testing.assert_close(bias(ours, states(*size)), theirs(size))


def test_patches_that_are_not_there_change_nothing():
    ours = build(Position, "patch_relative", **SIZES)
    some = torch.tensor([[0, 2, 5], [0, 1, 9]])
    whole, part = bias(ours, states(3, 3))[0], bias(ours, states(3, 3, some))
    for row in range(2):
        assert torch.equal(part[row], whole[:, some[row]][:, :, some[row]])


def test_a_text_has_no_such_positions():
    ours = build(Position, "patch_relative", **SIZES)
    with pytest.raises(DataError, match="this sequence is no image"):
        bias(ours, States(torch.zeros(1, 3, 8)))


def test_every_layer_may_have_its_own_positions():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, **SIZES}
    own = build(Attention, "positioned", own_position="patch_relative", **sizes)
    with torch.no_grad():
        for value in own.parameters():
            value.add_(torch.randn_like(value), alpha=0.3)
    plain = build(Attention, "multihead", hidden_size=8, heads_num=2)
    plain.load_state_dict(own.attention.state_dict())
    of = states(3, 3)
    mask = of.self_mask("fully_visible")
    shared = AttentionContext(mask, own.position(mask, CPU))
    made = own(of.hidden, AttentionContext(mask))
    torch.testing.assert_close(made, plain(of.hidden, shared))
    assert not torch.allclose(made, plain(of.hidden, AttentionContext(mask)), atol=1e-4)
