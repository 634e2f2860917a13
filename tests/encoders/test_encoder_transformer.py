import pytest
import torch
from support import TINY

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
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
    mask, hidden = STATES.self_mask("fully_visible"), STATES.hidden
    for layer in encoder.layers:
        hidden = layer(hidden, mask, None)
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
    mask, x = STATES.self_mask("causal"), STATES.hidden
    if positioning == "pre":
        x = x + layer.attention(layer.attention_norm(x), mask)
        x = x + layer.feed_forward(layer.feed_forward_norm(x))
    else:
        x = layer.attention_norm(x + layer.attention(x, mask))
        x = layer.feed_forward_norm(x + layer.feed_forward(x))
    torch.testing.assert_close(layer(STATES.hidden, mask, None), x)


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
    assert made(position="rotary", attention_head_size=4).position.head_size == 4
    assert made(position="rotary").position.head_size == 8
    with pytest.raises(ConfigError, match="heads_num: 3 does not divide hidden_size 16"):
        made(heads_num=3)


def test_geometry_goes_through():
    assert made()(STATES).validity is STATES.validity
