"""Positions as biases, against the formulas of their papers and against `transformers`."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uer.builder import build
from uer.layers.base import Attention, AttentionContext, Position
from uer.layers.positions.alibi import slopes
from uer.layers.positions.relative import buckets
from uer.states import States

CPU = torch.device("cpu")
POSITION = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])
DOCUMENT = torch.tensor([[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, 0, 0]])


def states_of(**fields):
    return States(torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)), **fields)


@given(
    st.lists(st.integers(-3000, 3000), min_size=1, max_size=30),
    st.booleans(),
    st.sampled_from([(32, 128), (8, 20), (16, 512)]),
)
def test_buckets_are_those_of_t5(distances, both_ways, shape):
    from transformers.models.t5.modeling_t5 import T5Attention

    number, farthest = shape
    distance = torch.tensor(distances)
    theirs = T5Attention._relative_position_bucket(distance, both_ways, number, farthest)
    assert torch.equal(buckets(distance, number, farthest, both_ways=both_ways), theirs)


def test_a_causal_mask_spends_no_bucket_on_what_follows():
    scheme = build(Position, "relative", heads_num=2, relative_attention_buckets_num=8)
    scheme.weight.data.normal_()
    both, back = (
        scheme(states_of().self_mask(kind), CPU).bias() for kind in ("fully_visible", "causal")
    )
    assert not torch.equal(both[..., 0, 1], both[..., 1, 0])
    assert torch.equal(back[..., 0, 3], back[..., 0, 0])


def test_the_bias_of_a_packed_row_is_that_of_separate_rows():
    scheme = build(Position, "relative", heads_num=2)
    scheme.weight.data.normal_()
    packed = scheme(states_of(position=POSITION, document=DOCUMENT).self_mask("causal"), CPU).bias()
    alone = scheme(states_of().self_mask("causal"), CPU).bias()
    assert packed.shape == (2, 2, 6, 6) and alone.shape == (1, 2, 6, 6)
    torch.testing.assert_close(packed[0, :, 3:5, 3:5], alone[0, :, :2, :2])


@pytest.mark.parametrize("heads", [1, 2, 6, 8, 12, 20, 112])
def test_slopes_are_those_of_bloom(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 4), heads, torch.float32).view(heads, 4)
    torch.testing.assert_close(torch.tensor(slopes(heads)), theirs[:, 1])


def test_alibi_falls_with_the_distance():
    bias = build(Position, "alibi", heads_num=2)(states_of().self_mask("causal"), CPU).bias()
    torch.testing.assert_close(bias[0, :, 4, 1], torch.tensor([-3 / 16, -3 / 256]))


@pytest.mark.parametrize("kind", ["fully_visible", "causal", "causal_with_prefix"])
@pytest.mark.parametrize("name", ["relative", "alibi"])
def test_attention_adds_the_bias_to_the_scores_it_masks(kind, name):
    states = states_of(position=POSITION, document=DOCUMENT, prefix=POSITION < 2)
    scheme = build(Position, name, heads_num=2)
    for parameter in scheme.parameters():
        parameter.data.normal_()
    torch.manual_seed(0)
    attention = build(Attention, "multihead", hidden_size=8, heads_num=2)
    mask = states.self_mask(kind)
    placement = scheme(mask, CPU)
    got = attention(states.hidden, AttentionContext(mask, placement))
    query, key, value = (
        layer(states.hidden).unflatten(-1, (2, 4)).transpose(1, 2)
        for layer in (attention.query, attention.key, attention.value)
    )
    scores = query @ key.transpose(-1, -2) / 2 + placement.bias()
    shares = scores.masked_fill(~mask.allowed(CPU), float("-inf")).softmax(-1)
    want = attention.output((shares @ value).transpose(1, 2).flatten(2))
    real = DOCUMENT >= 0
    torch.testing.assert_close(got[real], want[real], atol=1e-5, rtol=1e-5)


def test_the_learnt_bias_gets_a_gradient():
    scheme = build(Position, "relative", heads_num=2)
    states = states_of()
    attention = build(Attention, "multihead", hidden_size=8, heads_num=2)
    mask = states.self_mask("fully_visible")
    attention(states.hidden, AttentionContext(mask, scheme(mask, CPU))).square().sum().backward()
    assert scheme.weight.grad.abs().sum() > 0
