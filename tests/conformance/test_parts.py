"""What every encoder and decoder owes the rest, whoever wrote it.

The parts come from the registries and their configurations from their constructors, so that a new
one is covered by being there.
"""

import math

import pytest
import torch
from tiny_parts import data, decoder_configs, encoder_configs, model, noticed

from uer.builder import Planner, build
from uer.layers.base import Norm, norms
from uer.model import Model

ENCODERS, DECODERS = encoder_configs(), decoder_configs()
ALL = {**ENCODERS, **DECODERS}
LENGTHS = [7, 4, 6]
# Without a key `mask`: reading from left to right is their nature.
ONE_WAY = ("rnn-False", "lstm-False", "gru-False", "gatedcnn", "legacy_gatedcnn")
# A number for each head and distance: biases in the shape of a table.
BIASES = "encoder.position.weight"
# A key's bias adds the same to all scores of a query: its gradient is zero.
WITHOUT_EFFECT = ("attention.key.bias",)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_receives_a_gradient(name):
    made = model(ALL[name]).train()
    batch, _ = data(LENGTHS, [[0], [1], [2]])
    sum(score.loss_sum for score in made(batch).values()).backward()
    for key, value in made.named_parameters():
        assert value.grad is not None, key
        if not key.endswith(WITHOUT_EFFECT):
            assert value.grad.abs().max() > 1e-7, key


@pytest.mark.parametrize("name", ALL)
def test_padding_changes_nothing(name):
    made = model(ALL[name])
    alone = []
    for number in range(3):
        batch, place = data(LENGTHS, [[number]])
        alone.append((made.states(batch).at(place), made(batch)["lm"].loss_sum))
    batch, place = data(LENGTHS, [[0], [1], [2]], width=9)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(
        made.states(batch).at(place), torch.cat([one[0] for one in alone]), **close
    )
    torch.testing.assert_close(made(batch)["lm"].loss_sum, sum(one[1] for one in alone), **close)


@pytest.mark.parametrize("name", ALL)
def test_documents_of_a_packed_row_do_not_see_each_other(name):
    made = model(ALL[name])
    packed, place = data(LENGTHS, [[0, 1], [2]], width=12)
    single, own = data(LENGTHS, [[0], [1], [2]])
    one, other = made.states(packed).at(place), made.states(single).at(own)
    if made.packable:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    else:  # else it could be packed, and should say so
        assert not torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n, c in ENCODERS.items() if c.get("mask") == "causal" or n in ONE_WAY]
)
def test_causal_encoders_do_not_see_what_comes(name):
    assert noticed(model(ENCODERS[name]), "src", 4)[0] == 4
    assert 4 in noticed(model(ENCODERS[name]), "src", 3)


@pytest.mark.parametrize("name", [n for n, c in ENCODERS.items() if "prefix" in c.get("mask", "")])
def test_the_prefix_is_seen_by_all_and_nothing_else_is_seen_ahead(name):
    assert noticed(model(ENCODERS[name]), "src", 1) == list(range(8))
    assert noticed(model(ENCODERS[name]), "src", 5) == [5, 6, 7]


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_see_the_whole_memory_and_nothing_ahead_of_them(name):
    assert noticed(model(DECODERS[name]), "tgt", 4) == [4, 5, 6, 7]
    assert noticed(model(DECODERS[name]), "src", 7) == list(range(8))


@pytest.mark.parametrize("name", ALL)
def test_the_first_loss_is_that_of_guessing(name):
    torch.manual_seed(0)
    made = Planner(ALL[name]).section(Model).build({"vocab_size": 500})
    batch, _ = data([9] * 20, [[n] for n in range(20)])
    score = made(batch)["lm"]
    mean = score.loss_sum / made.weights(batch)["lm"]
    assert abs(mean.item() - math.log(500)) < 0.05 * math.log(500)


@pytest.mark.parametrize("name", ALL)
def test_states_are_as_wide_as_the_part_says_and_keep_the_length(name):
    made = model(ALL[name])
    batch, _ = data(LENGTHS, [[0], [1], [2]])
    width = (made.decoder or made.encoder).output_size
    assert made.states(batch).hidden.shape == (3, 7, width)


@pytest.mark.parametrize("name", ALL)
def test_matrices_decay_and_vectors_do_not(name):
    decayed, spared = model(ALL[name]).decay_groups()
    assert decayed and all(value.dim() > 1 for _, value in decayed), [n for n, _ in decayed]
    tables = [n for n, value in spared if value.dim() > 1 and not n.endswith(BIASES)]
    assert not tables, tables


@pytest.mark.parametrize("name", norms.names())
def test_norms_start_as_the_identity(name):
    norm = build(Norm, name, size=64)
    start = {"weight": 1.0, "bias": 0.0}
    for key, value in norm.named_parameters():
        assert torch.equal(value, torch.full_like(value, start[key]))
    draw = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.layer_norm(torch.randn(5, 64, generator=draw), (64,))
    torch.testing.assert_close(norm(normal), normal, atol=0.05, rtol=0)
