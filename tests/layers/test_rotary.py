import pytest
import torch

from uer.builder import build
from uer.layers.base import Attention, Position
from uer.layers.positions.rotary import rotate
from uer.states import States

SIZE = 16


def placed(position, **keys):
    states = States(torch.zeros(*position.shape, 4), position=position)
    scheme = build(Position, "rotary", head_size=SIZE, **keys)
    return scheme(states.self_mask("causal"), torch.device("cpu"))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_scores_depend_on_the_distance_only_and_do_depend_on_it():
    query, key = draw(1, 1, 1, SIZE), draw(1, 1, 1, SIZE, seed=1)
    position = torch.arange(9)[None]
    turned = [rotate(v.expand(1, 1, 9, SIZE), placed(position))[0, 0] for v in (query, key)]
    scores = turned[0] @ turned[1].T
    for distance in range(-8, 9):
        same = scores.diagonal(distance)
        torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-5, rtol=1e-5)
    assert scores[0].std() > 1e-2
    torch.testing.assert_close(scores[0, 0], (query * key).sum(), atol=1e-5, rtol=1e-5)


def test_a_rotation_keeps_lengths():
    vectors = draw(2, 3, 5, SIZE)
    turned = rotate(vectors, placed(torch.arange(5).expand(2, 5)))
    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1))


def test_positions_of_the_states_count():
    vectors = draw(1, 1, 1, SIZE).expand(1, 1, 4, SIZE)
    turned = rotate(vectors, placed(torch.tensor([[0, 1, 0, 1]])))[0, 0]
    assert torch.equal(turned[:2], turned[2:]) and not torch.equal(turned[0], turned[1])


def test_half_precision_goes_in_and_comes_out():
    vectors = draw(1, 1, 4, SIZE).bfloat16()
    assert rotate(vectors, placed(torch.arange(4)[None])).dtype == torch.bfloat16


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
        torch.testing.assert_close(rotate(ours, place), other, atol=1e-5, rtol=1e-5)


def test_attention_rotates_queries_and_keys_but_not_values():
    torch.manual_seed(0)
    attention = build(Attention, "multihead", hidden_size=2 * SIZE, heads_num=2)
    states = States(draw(1, 1, 2 * SIZE), position=torch.tensor([[7]]))
    mask = states.self_mask("causal")
    turned = attention(states.hidden, mask, placement=placed(torch.tensor([[7]])))
    torch.testing.assert_close(turned, attention(states.hidden, mask))  # one token sees itself
