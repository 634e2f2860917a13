"""The decoder against torch's own, and what it may see."""

import pytest
import torch
from support import TINY
from torch import nn

from uer.builder import build
from uer.components import Decoder
from uer.errors import ConfigError
from uer.states import States

KEYS = {key: TINY[key] for key in ("hidden_size", "feedforward_size", "heads_num", "layers_num")}
MEMORY = States(
    torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)),
    validity=torch.tensor([[True] * 5, [True] * 3 + [False] * 2]),
)
STATES = States(torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1)))


def made(memory_size=16, **keys):
    torch.manual_seed(1)
    decoder = build(
        Decoder, "transformer", input_size=16, memory_size=memory_size, **{**KEYS, **keys}
    ).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return decoder


def torch_layer(layer, positioning):
    """The same layer as torch has it."""
    theirs = nn.TransformerDecoderLayer(
        16, 2, 32, 0.0, "relu", 1e-6, batch_first=True, norm_first=positioning == "pre"
    )
    pairs = {
        "self_attn": layer.attention,
        "multihead_attn": layer.cross_attention,
    }
    for name, ours in pairs.items():
        attention = getattr(theirs, name)
        parts = (ours.query, ours.key, ours.value)
        attention.in_proj_weight.data = torch.cat([part.weight for part in parts])
        attention.in_proj_bias.data = torch.cat([part.bias for part in parts])
        attention.out_proj.load_state_dict(ours.output.state_dict())
    for name, ours in (
        ("linear1", layer.feed_forward.up),
        ("linear2", layer.feed_forward.down),
        ("norm1", layer.attention_norm),
        ("norm2", layer.cross_attention_norm),
        ("norm3", layer.feed_forward_norm),
    ):
        getattr(theirs, name).load_state_dict(ours.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("positioning", ["pre", "post"])
def test_equals_torchs_decoder(positioning):
    decoder = made(layernorm_positioning=positioning, hidden_act="relu")
    hidden = STATES.hidden
    causal = nn.Transformer.generate_square_subsequent_mask(4)
    for layer in decoder.layers:
        hidden = torch_layer(layer, positioning)(
            hidden,
            MEMORY.hidden,
            tgt_mask=causal,
            memory_key_padding_mask=torch.zeros(2, 5).masked_fill(~MEMORY.validity, -1e30),
        )
    if decoder.norm is not None:
        hidden = decoder.norm(hidden)
    torch.testing.assert_close(decoder(STATES, MEMORY).hidden, hidden, atol=1e-5, rtol=1e-4)


def test_memory_may_be_wider_than_the_decoder():
    wide = MEMORY.with_hidden(torch.randn(2, 5, 24))
    decoder = made(memory_size=24)
    assert decoder.layers[0].attention.key.weight.shape == (16, 16)
    assert decoder.layers[0].cross_attention.key.weight.shape == (16, 24)
    assert decoder(STATES, wide).hidden.shape == (2, 4, 16)


def test_relative_positions_act_in_self_attention_only():
    decoder = made(position="relative")
    before = decoder(STATES, MEMORY).hidden
    one = States(STATES.hidden[:, :1])
    alone = decoder(one, MEMORY).hidden
    decoder.position.weight.data[1:] += 1.0  # distances that a single token does not have
    torch.testing.assert_close(decoder(one, MEMORY).hidden, alone)
    assert not torch.allclose(decoder(STATES, MEMORY).hidden, before)


def test_embeddings_of_another_width_are_refused():
    with pytest.raises(ConfigError, match="make emb_size and hidden_size equal"):
        build(Decoder, "transformer", input_size=8, memory_size=16, **KEYS)
