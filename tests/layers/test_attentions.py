"""Attention on the fused kernel against the formula."""

import pytest
import torch

from uer.builder import build
from uer.errors import ConfigError
from uer.layers.base import Attention, AttentionContext
from uer.states import States

DOCUMENT = torch.tensor([[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, 0, 0]])
POSITION = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])
VALIDITY = DOCUMENT >= 0
PREFIX = (POSITION < 2) & VALIDITY
KINDS = ["fully_visible", "causal", "causal_with_prefix"]


def states_of(packed, width=8):
    draw = torch.Generator().manual_seed(0)
    return States(
        torch.randn(2, 6, width, generator=draw),
        validity=VALIDITY if not packed else None,
        document=DOCUMENT if packed else None,
        position=POSITION if packed else None,
        prefix=PREFIX if packed else None,
    )


def made(name="multihead", **keys):
    torch.manual_seed(1)
    attention = build(Attention, name, hidden_size=8, **{"heads_num": 2, **keys})
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_()
    return attention


def allowed(kind, packed):
    """[2, 6, 6] the rule."""
    place = POSITION if packed else torch.arange(6).expand(2, 6)
    seen = torch.ones(2, 6, 6, dtype=torch.bool)
    if kind != "fully_visible":
        seen = place[:, :, None] >= place[:, None, :]
    if kind == "causal_with_prefix" and packed:
        seen = seen | PREFIX[:, None]
    if packed:
        return seen & (DOCUMENT[:, :, None] == DOCUMENT[:, None, :])
    return seen & VALIDITY[:, None]


def naive(attention, hidden, seen):
    """Head by head, row by row."""
    rows = []
    for row in range(hidden.shape[0]):
        query, key, value = (
            layer(hidden[row]) for layer in (attention.query, attention.key, attention.value)
        )
        size = query.shape[1] // attention.heads
        heads = []
        for head in range(attention.heads):
            own = slice(head * size, (head + 1) * size)
            scores = query[:, own] @ key[:, own].T / size**0.5
            scores = scores.masked_fill(~seen[row], float("-inf"))
            heads.append(scores.softmax(-1) @ value[:, own])
        rows.append(attention.output(torch.cat(heads, -1)))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_equals_the_formula(kind, packed):
    states, attention = states_of(packed), made()
    got = attention(states.hidden, AttentionContext(states.self_mask(kind)))
    want = naive(attention, states.hidden, allowed(kind, packed))
    torch.testing.assert_close(got[VALIDITY], want[VALIDITY], atol=1e-5, rtol=1e-5)


def test_a_window_narrows():
    states, attention = states_of(True), made()
    got = attention(states.hidden, AttentionContext(states.self_mask("causal").narrow(1)))
    near = (POSITION[:, :, None] - POSITION[:, None, :]).abs() <= 1
    want = naive(attention, states.hidden, allowed("causal", True) & near)
    torch.testing.assert_close(got[VALIDITY], want[VALIDITY], atol=1e-5, rtol=1e-5)


def test_memory_of_another_length_is_attended_to():
    states, attention = states_of(False), made()
    asking = States(torch.randn(2, 3, 8))
    got = attention(
        asking.hidden, AttentionContext(asking.cross_mask(states)), memory=states.hidden
    )
    both = torch.cat((asking.hidden, states.hidden), 1)  # queries first, keys behind
    seen = torch.zeros(2, 9, 9, dtype=torch.bool)
    seen[:, :, 3:] = VALIDITY[:, None]
    torch.testing.assert_close(got, naive(attention, both, seen)[:, :3], atol=1e-5, rtol=1e-5)


def test_heads_may_be_wider_than_their_share():
    states, attention = states_of(False), made(attention_head_size=7)
    assert attention.query.weight.shape == (14, 8)
    got = attention(states.hidden, AttentionContext(states.self_mask("fully_visible")))
    want = naive(attention, states.hidden, allowed("fully_visible", False))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_biases_can_be_left_out():
    assert {key for key, _ in made(remove_transformer_bias=True).named_parameters()} == {
        f"{name}.weight" for name in ("query", "key", "value", "output")
    }


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="heads_num: 3 does not divide hidden_size 8; choose"):
        build(Attention, "multihead", hidden_size=8, heads_num=3)


def test_probabilities_are_dropped_in_training_only():
    states, attention = states_of(False), made(attention_dropout=0.5)
    mask = AttentionContext(states.self_mask("fully_visible"))
    evaluated = attention.eval()(states.hidden, mask)
    assert torch.equal(evaluated, attention(states.hidden, mask))
    assert torch.equal(evaluated, made().eval()(states.hidden, mask))
    assert not torch.equal(evaluated, attention.train()(states.hidden, mask))


def test_query_heads_share_keys_and_values():
    states, grouped, full = states_of(False), made(heads_num=4, kv_heads_num=2), made(heads_num=4)
    for name in ("query", "output"):
        getattr(full, name).load_state_dict(getattr(grouped, name).state_dict())
    for name in ("key", "value"):
        for kind in ("weight", "bias"):
            own = getattr(getattr(grouped, name), kind).unflatten(0, (2, -1))
            repeated = own.repeat_interleave(2, dim=0).flatten(0, 1)
            getattr(getattr(full, name), kind).data.copy_(repeated)
    context = AttentionContext(states.self_mask("causal"))
    torch.testing.assert_close(grouped(states.hidden, context), full(states.hidden, context))


def test_groups_must_be_equal():
    with pytest.raises(ConfigError, match="kv_heads_num: 3 does not divide heads_num 4"):
        made(heads_num=4, kv_heads_num=3)


def test_scores_may_stay_unscaled_and_biases_of_one_kind_alone():
    states = states_of(False)
    scaled, bare = made(qkv_bias=False), made(qkv_bias=False, remove_attention_scale=True)
    assert {key for key, _ in bare.named_parameters() if "bias" in key} == {"output.bias"}
    bare.query.weight.data /= 2
    context = AttentionContext(states.self_mask("causal"))
    torch.testing.assert_close(bare(states.hidden, context), scaled(states.hidden, context))


def test_normalised_queries_and_keys_have_scores_without_their_lengths():
    states, attention = states_of(False), made(query_key_norm="rms")
    context = AttentionContext(states.self_mask("causal"))
    before = attention(states.hidden, context)
    attention.query.weight.data *= 7
    attention.query.bias.data *= 7
    torch.testing.assert_close(attention(states.hidden, context), before, atol=1e-4, rtol=1e-4)
    assert attention.query_norm.weight.shape == (4,)


def test_memory_may_have_another_width():
    attention = made(memory_size=5)
    memory = States(torch.randn(2, 4, 5))
    asking = States(torch.randn(2, 3, 8))
    context = AttentionContext(asking.cross_mask(memory))
    assert attention(asking.hidden, context, memory=memory.hidden).shape == (2, 3, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_residual_attention_adds_the_scores_of_the_layer_before(kind):
    states, first, second = states_of(True), made("residual"), made("residual")
    plain = made()
    context, alone = (AttentionContext(states.self_mask(kind)) for _ in range(2))
    want = plain(states.hidden, alone)
    got = first(states.hidden, context)
    torch.testing.assert_close(got[VALIDITY], want[VALIDITY], atol=1e-5, rtol=1e-5)
    # The second layer's scores are twice its own: those of queries twice as long.
    doubled = made()
    doubled.query.weight.data *= 2
    doubled.query.bias.data *= 2
    want = doubled(states.hidden, alone)
    got = second(states.hidden, context)
    torch.testing.assert_close(got[VALIDITY], want[VALIDITY], atol=1e-4, rtol=1e-4)
