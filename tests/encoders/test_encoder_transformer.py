import pytest
import torch
from support import TINY

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
from uer.layers.base import AttentionContext
from uer.states import States

KEYS = {key: TINY[key] for key in ("hidden_size", "feedforward_size", "heads_num", "layers_num")}
STATES = States(
    torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0)),
    validity=torch.tensor([[True] * 6, [True] * 4 + [False] * 2]),
)


def made(input_size=16, **keys):
    torch.manual_seed(1)
    return build(Encoder, "transformer", input_size=input_size, **{**KEYS, **keys}).eval()


def test_layers_are_applied_one_after_the_other_under_one_mask():
    encoder = made(layers_num=3)
    context, hidden = AttentionContext(STATES.self_mask("fully_visible")), STATES.hidden
    for layer in encoder.layers:
        hidden = layer(hidden, context)
    torch.testing.assert_close(encoder(STATES).hidden, hidden)
    assert len({id(p) for p in encoder.parameters()}) == 3 * 16


def test_post_norm_ends_with_the_layers_and_pre_norm_with_a_norm():
    assert made().norm is None
    encoder = made(layernorm_positioning="pre")
    mean = encoder(STATES).hidden.mean(-1)
    torch.testing.assert_close(mean, torch.zeros(2, 6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("positioning", ["pre", "post"])
def test_a_layer_is_its_formula(positioning):
    layer = made(layernorm_positioning=positioning).layers[0]
    mask, x = AttentionContext(STATES.self_mask("causal")), STATES.hidden
    if positioning == "pre":
        x = x + layer.attention(layer.attention_norm(x), mask)
        x = x + layer.feed_forward(layer.feed_forward_norm(x))
    else:
        x = layer.attention_norm(x + layer.attention(x, mask))
        x = layer.feed_forward_norm(x + layer.feed_forward(x))
    torch.testing.assert_close(layer(STATES.hidden, mask), x)


def test_shared_parameters_serve_every_layer():
    shared = made(parameter_sharing=True, layers_num=3)
    own = made(layers_num=3)
    one = shared.layers[0].state_dict()
    own.load_state_dict({f"layers.{n}.{k}": v for n in range(3) for k, v in one.items()})
    assert len(shared.layers) == 1
    torch.testing.assert_close(shared(STATES).hidden, own(STATES).hidden)


def test_narrow_embeddings_are_widened():
    narrow = STATES.with_hidden(STATES.hidden[..., :8])
    encoder = made(input_size=8)
    widened = STATES.with_hidden(encoder.projection(narrow.hidden))
    plain = made()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    assert encoder(narrow).hidden.shape == (2, 6, 16) and plain.projection is None
    torch.testing.assert_close(encoder(narrow).hidden, plain(widened).hidden)
    assert made(factorized_embedding_parameterization=True).projection is not None


@pytest.mark.parametrize("mask", ["fully_visible", "causal"])
def test_the_mask_is_a_choice(mask):
    encoder = made(mask=mask)
    other = STATES.hidden.clone()
    other[:, 3] += torch.randn(16)  # a constant would vanish in the norm
    before, after = encoder(STATES).hidden, encoder(STATES.with_hidden(other)).hidden
    noticed = ~torch.isclose(before, after, atol=1e-6).all(-1)[0]
    assert noticed.tolist() == ([True] * 6 if mask == "fully_visible" else [False] * 3 + [True] * 3)


def test_rotary_positions_make_order_count():
    order = torch.tensor([3, 1, 4, 0, 5, 2])
    whole = States(STATES.hidden[:1])
    mixed = whole.with_hidden(whole.hidden[:, order])
    plain, turned = made(), made(position="rotary")
    with torch.no_grad():
        for parameter in (*plain.parameters(), *turned.parameters()):
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    torch.testing.assert_close(
        plain(mixed).hidden, plain(whole).hidden[:, order], atol=1e-5, rtol=1e-5
    )
    assert not torch.isclose(turned(mixed).hidden, turned(whole).hidden[:, order]).all(-1).any()


def test_the_width_of_heads_reaches_rotation():
    assert made(position="rotary", attention_head_size=4).position.frequency.shape == (2,)
    assert made(position="rotary").position.frequency.shape == (4,)
    with pytest.raises(ConfigError, match="heads_num: 3 does not divide hidden_size 16"):
        made(heads_num=3)


def test_geometry_goes_through():
    assert made()(STATES).validity is STATES.validity


def noticed(encoder, changed, length=12):
    """Which places of a row see a change at one of them."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    hidden = torch.randn(1, length, 16)
    other = hidden.clone()
    other[:, changed] += torch.randn(16)
    before, after = (encoder(States(h)).hidden[0] for h in (hidden, other))
    return (~torch.isclose(before, after, atol=1e-6).all(-1)).nonzero().flatten().tolist()


def test_local_layers_see_their_neighbours_and_every_nth_layer_sees_all():
    assert noticed(made(layers_num=1, attention_window=2), 5) == [3, 4, 5, 6, 7]
    assert noticed(made(layers_num=2, attention_window=2), 5) == list(range(1, 10))
    local = {"attention_window": 1, "global_attention_every": 3}
    assert noticed(made(layers_num=1, **local), 5) == list(range(12))
    assert noticed(made(layers_num=1, attention_window=2, mask="causal"), 5) == [5, 6, 7]


def test_local_layers_may_have_positions_of_their_own():
    keys = {"attention_window": 1, "global_attention_every": 2, "position": "rotary"}
    one = made(**keys)
    two = made(**keys, local_position={"rotary": {"rope_theta": 100.0}})
    two.load_state_dict(one.state_dict())
    assert two.position.frequency[1] != two.local_position.frequency[1]
    assert not torch.allclose(one(STATES).hidden, two(STATES).hidden)


def test_a_window_that_hides_nothing_costs_nothing():
    mask = STATES.self_mask("causal")
    assert mask.narrow(5) is mask and mask.narrow(4) is not mask


def test_the_first_layer_may_take_its_input_as_it_is():
    encoder = made(layernorm_positioning="pre", first_layernorm=False)
    first, second = encoder.layers
    assert not list(first.attention_norm.parameters()) and list(second.attention_norm.parameters())


def test_windows_are_checked():
    with pytest.raises(ConfigError, match="global_attention_every: goes with an attention_window"):
        made(global_attention_every=2)
    with pytest.raises(ConfigError, match="attention_window: -1 must not be negative"):
        made(attention_window=-1)
