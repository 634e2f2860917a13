"""Single embeddings against their formulas."""

import math

import pytest
import torch
from support import embedding

from uer.batch import Batch
from uer.errors import DataError
from uer.states import States

IDS = torch.tensor([[3, 1, 2, 0], [1, 1, 2, 3]])
POSITION = torch.tensor([[0, 1, 0, 1], [0, 1, 2, 3]])


def embedded(part, states=None, **fields):
    return part(Batch({"ids": IDS, **fields}), states).hidden


def test_words_may_be_scaled():
    plain = embedding("word", vocab_size=5)
    scaled = embedding("word", vocab_size=5, scale_embedding=True)
    scaled.load_state_dict(plain.state_dict())
    torch.testing.assert_close(embedded(scaled), 4 * embedded(plain))


@pytest.mark.parametrize("position", [None, POSITION])
def test_positions_may_start_at_a_later_row(position):
    zero = States(torch.zeros(2, 4, 8), position=position)
    part = embedding("pos", emb_size=8, max_seq_length=4, position_offset=2)
    places = torch.arange(4).expand(2, 4) if position is None else position
    assert part.weight.shape == (6, 8)
    assert torch.equal(embedded(part, zero), part.weight[places + 2])
    with pytest.raises(DataError, match="5 tokens is longer than the model's 4 positions"):
        part(Batch({}), States(torch.zeros(1, 5, 8)))


def test_sinusoids_are_those_of_the_paper():
    zero = States(torch.zeros(2, 4, 6), position=POSITION)
    got = embedded(embedding("sinusoidalpos", emb_size=6), zero)
    for row in range(2):
        for column in range(4):
            place = POSITION[row, column].item()
            for dimension in range(6):
                angle = place / 10000 ** (2 * (dimension // 2) / 6)
                want = math.cos(angle) if dimension % 2 else math.sin(angle)
                assert got[row, column, dimension].item() == pytest.approx(want, abs=1e-6)


def test_sinusoids_in_halves_are_those_of_pegasus():
    from transformers.models.pegasus.modeling_pegasus import PegasusSinusoidalPositionalEmbedding

    theirs = PegasusSinusoidalPositionalEmbedding(12, 8)
    theirs.weight.data.copy_(theirs.create_weight())
    zero = States(torch.zeros(1, 12, 8))
    ours = embedding("sinusoidalpos", emb_size=8, sinusoids="halves")
    torch.testing.assert_close(embedded(ours, zero)[0], theirs.weight, atol=1e-6, rtol=0)


def test_an_odd_width_has_one_sine_more():
    part = embedding("sinusoidalpos", emb_size=5)
    assert embedded(part, States(torch.zeros(1, 3, 5))).shape == (1, 3, 5)
