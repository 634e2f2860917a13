"""Recurrent encoders against torch's own, which skip padding when sequences are packed."""

import pytest
import torch
from support import batch_of, documents_of, model_of
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
from uer.states import States

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
LENGTHS = torch.tensor([7, 3, 1, 5])
VALIDITY = torch.arange(7) < LENGTHS[:, None]
STATES = States(torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0)), validity=VALIDITY)


def made(name, **keys):
    torch.manual_seed(1)
    encoder = build(Encoder, name, input_size=6, **{"hidden_size": 8, "layers_num": 3, **keys})
    return encoder.eval()


def run(module, states):
    """What torch makes of the real tokens."""
    packed = pack_padded_sequence(states.hidden, LENGTHS, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(module(packed)[0], batch_first=True)[0]


def fill(module, layers, end=""):
    """Give torch's module the weights of our layers."""
    for number, layer in enumerate(layers):
        for name, value in layer.named_parameters():
            getattr(module, name.replace("_l0", f"_l{number}{end}")).data.copy_(value)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_padded_rows_give_what_torch_gives_for_packed_sequences(name, bidirectional):
    encoder = made(name, bidirectional=bidirectional)
    theirs = CELLS[name](
        6, 4 if bidirectional else 8, 3, batch_first=True, bidirectional=bidirectional
    )
    fill(theirs, encoder.layers)
    if bidirectional:
        fill(theirs, encoder.backward_layers, "_reverse")
    ours, expected = encoder(STATES).hidden, run(theirs, STATES)
    assert ours.shape == (4, 7, 8)
    torch.testing.assert_close(ours[VALIDITY], expected[VALIDITY])


@pytest.mark.parametrize("name", CELLS)
def test_two_stacks_read_in_opposite_directions_and_never_mix(name):
    encoder = made(f"bi{name}")
    ahead, back = (CELLS[name](6, 4, 3, batch_first=True) for _ in range(2))
    fill(ahead, encoder.ahead.layers)
    fill(back, encoder.back.layers)
    hidden = encoder(STATES).hidden
    torch.testing.assert_close(hidden[VALIDITY][:, :4], run(ahead, STATES)[VALIDITY])
    for row, length in enumerate(LENGTHS):
        alone = back(STATES.hidden[row : row + 1, :length].flip(1))[0].flip(1)
        torch.testing.assert_close(hidden[row, :length, 4:], alone[0])


@pytest.mark.parametrize(
    ("name", "keys"), [("lstm", {"bidirectional": True}), ("birnn", {}), ("bigru", {})]
)
def test_two_directions_need_an_even_width(name, keys):
    with pytest.raises(ConfigError, match="hidden_size: 7 is odd; two directions share it"):
        made(name, hidden_size=7, **keys)


def test_layers_are_dropped_out_in_training_only():
    encoder = made("gru", dropout=0.5)
    torch.testing.assert_close(encoder(STATES).hidden, encoder(STATES).hidden)
    encoder.train()
    assert (encoder(STATES).hidden[0] == 0).any()


def test_biases_start_at_zero_and_take_no_weight_decay():
    encoder = made("bilstm")
    spared = {id(p) for part in (encoder.ahead, encoder.back) for p in part.no_decay()}
    for name, value in encoder.named_parameters():
        assert (id(value) in spared) == (".bias_" in name)
        assert bool(value.any()) == (".bias_" not in name)


def test_they_are_not_packable():
    config = {"embedding": ["word"], "emb_size": 4, "hidden_size": 8, "layers_num": 1}
    model = model_of({**config, "encoder": "bigru", "target": "lm"})
    assert not model.packable
    batch, place = batch_of(documents_of([4, 2]), [[0], [1]])
    assert model.states(batch).at(place).shape == (6, 8)
