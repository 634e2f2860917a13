import pytest
import torch

from uer.builder import build
from uer.errors import ConfigError
from uer.layers.base import Attention, AttentionContext, Position
from uer.states import States

SIZE = 16


def placed(position, name="rotary", **keys):
    states = States(torch.zeros(*position.shape, 4), position=position)
    scheme = build(Position, name, head_size=SIZE, **keys)
    return scheme(states.self_mask("causal"), torch.device("cpu"))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_scores_depend_on_the_distance_only_and_do_depend_on_it():
    query, key = draw(1, 1, 1, SIZE), draw(1, 1, 1, SIZE, seed=1)
    position = torch.arange(9)[None]
    turned = [placed(position).rotate(v.expand(1, 1, 9, SIZE))[0, 0] for v in (query, key)]
    scores = turned[0] @ turned[1].T
    for distance in range(-8, 9):
        same = scores.diagonal(distance)
        torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-5, rtol=1e-5)
    assert scores[0].std() > 1e-2
    torch.testing.assert_close(scores[0, 0], (query * key).sum(), atol=1e-5, rtol=1e-5)


def test_a_rotation_keeps_lengths():
    vectors = draw(2, 3, 5, SIZE)
    turned = placed(torch.arange(5).expand(2, 5)).rotate(vectors)
    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1))


def test_positions_of_the_states_count():
    vectors = draw(1, 1, 1, SIZE).expand(1, 1, 4, SIZE)
    turned = placed(torch.tensor([[0, 1, 0, 1]])).rotate(vectors)[0, 0]
    assert torch.equal(turned[:2], turned[2:]) and not torch.equal(turned[0], turned[1])


def test_half_precision_goes_in_and_comes_out():
    vectors = draw(1, 1, 4, SIZE).bfloat16()
    assert placed(torch.arange(4)[None]).rotate(vectors).dtype == torch.bfloat16


@pytest.mark.parametrize("theta", [10000.0, 500.0])
def test_equals_llama_of_transformers(theta):
    from transformers.models.llama import modeling_llama as llama

    config = llama.LlamaConfig(
        hidden_size=2 * SIZE,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    position = torch.tensor([[0, 1, 2, 40, 511], [3, 0, 1, 2, 7]])
    query, key = draw(2, 2, 5, SIZE), draw(2, 2, 5, SIZE, seed=1)
    cos, sin = llama.LlamaRotaryEmbedding(config)(query, position)
    theirs = llama.apply_rotary_pos_emb(query, key, cos, sin)
    place = placed(position, rope_theta=theta)
    for ours, other in zip((query, key), theirs, strict=True):
        torch.testing.assert_close(place.rotate(ours), other, atol=1e-5, rtol=1e-5)


def test_attention_rotates_queries_and_keys_but_not_values():
    torch.manual_seed(0)
    attention = build(Attention, "multihead", hidden_size=2 * SIZE, heads_num=2)
    states = States(draw(1, 1, 2 * SIZE), position=torch.tensor([[7]]))
    mask = states.self_mask("causal")
    turned = AttentionContext(mask, placed(torch.tensor([[7]])))
    plain = AttentionContext(mask)
    torch.testing.assert_close(
        attention(states.hidden, turned), attention(states.hidden, plain)
    )  # one token sees itself


def test_adjacent_pairs_are_halves_in_another_order():
    vectors, position = draw(2, 3, 5, SIZE), torch.arange(5).expand(2, 5)
    order = torch.arange(SIZE).unflatten(0, (-1, 2)).T.flatten()  # even dimensions first
    halves = placed(position).rotate(vectors[..., order])
    pairs = placed(position, "rotary_interleaved").rotate(vectors)[..., order]
    torch.testing.assert_close(pairs, halves)


SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
}


@pytest.mark.parametrize("kind", SCALINGS)
def test_stretched_wave_lengths_equal_transformers(kind):
    from transformers.models.llama import modeling_llama as llama

    config = llama.LlamaConfig(
        hidden_size=2 * SIZE,
        num_attention_heads=2,
        max_position_embeddings=256,
        rope_parameters={**SCALINGS[kind], "rope_theta": 10000.0},
    )
    position = torch.tensor([[0, 1, 2, 40, 250]])
    query = draw(1, 2, 5, SIZE)
    cos, sin = llama.LlamaRotaryEmbedding(config)(query, position)
    theirs, _ = llama.apply_rotary_pos_emb(query, query, cos, sin)
    ours = placed(position, rope_scaling=SCALINGS[kind]).rotate(query)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_scaling_says_what_is_wrong():
    with pytest.raises(ConfigError) as caught:
        build(Position, "rotary", head_size=8, rope_scaling={"rope_type": "linear", "faktor": 2.0})
    assert "needs 'factor'" in str(caught.value)
    assert "does not know 'faktor'; did you mean 'factor'?" in str(caught.value)
    with pytest.raises(ConfigError, match="no rope_type is called 'lama3'; did you mean 'llama3'"):
        build(Position, "rotary", head_size=8, rope_scaling={"rope_type": "lama3"})
