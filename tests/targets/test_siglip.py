"""Sigmoid contrast between two streams, and the head that pools by attention."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.components import Target
from uer.errors import ConfigError, DataError
from uer.layers.base import Pooler
from uer.states import States

SIZES = {"hidden_size": 4, "heads_num": 2, "feedforward_size": 8}


def streams(pairs=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    made = [States(torch.randn(pairs, 5, size, generator=draw)) for size in (6, 4)]
    return replace(made[0], streams=tuple(made))


def target_of(**keys):
    torch.manual_seed(0)
    target = build(Target, "siglip", input_sizes=(6, 4), **{**SIZES, **keys})
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return target


def batch_of(pairs=3):
    return Batch({"src.0.length": torch.full((pairs,), 5)})


def test_every_text_is_asked_about_every_image():
    target, states = target_of(), streams()
    text, image = target.features(states)
    expected = 0.0
    for d in range(3):
        for e in range(3):
            logit = target.logit_scale.exp() * text[d] @ image[e] + target.logit_bias
            sign = 1 if d == e else -1
            expected -= F.logsigmoid(sign * logit)
    score = target(states, batch_of())
    torch.testing.assert_close(score.loss_sum, expected.squeeze())
    assert score.metrics["accuracy"].weight == 3 and target.weight(batch_of()) == 3


def test_texts_are_projected_and_images_are_not():
    target, states = target_of(), streams()
    text, image = target.features(states)
    projected = target.projection(states.streams[0].hidden[:, -1])
    torch.testing.assert_close(text, F.normalize(projected, dim=-1))
    torch.testing.assert_close(image, F.normalize(target.pooler(states.streams[1]), dim=-1))


def test_scale_and_bias_start_where_they_should_and_do_not_decay():
    target = build(Target, "siglip", input_sizes=(6, 4), **SIZES)
    assert target.logit_scale.exp().item() == pytest.approx(10.0)
    assert target.logit_bias.item() == -10.0
    assert {id(one) for one in target.no_decay()} == {id(target.logit_scale), id(target.logit_bias)}
    assert not target.additive


def test_without_pairs_the_loss_is_a_connected_zero():
    target, states = target_of(), streams()
    none = {"first": torch.zeros(0, dtype=torch.int64), "length": torch.zeros(0, dtype=torch.int64)}
    empty = tuple(replace(stream, **none) for stream in states.streams)
    score = target(replace(empty[0], streams=empty), batch_of(0))
    score.loss_sum.backward()
    assert score.loss_sum == 0 and score.metrics["accuracy"] == (0, 0)
    assert all(parameter.grad is not None for parameter in target.parameters())


def test_one_stream_is_refused():
    with pytest.raises(ConfigError, match="target 'siglip' compares two streams"):
        build(Target, "siglip", input_sizes=(6,), **SIZES)


def pooler_of(**keys):
    torch.manual_seed(0)
    return build(Pooler, "map", **{**SIZES, "size": 4, **keys})


def test_a_probe_attends_to_what_is_real():
    """Beside torch's own multi-head attention with the same weights."""
    pooler, hidden = pooler_of(), torch.randn(3, 5, 4)
    validity = torch.arange(5) < torch.tensor([5, 2, 3])[:, None]
    theirs = nn.MultiheadAttention(4, 2, batch_first=True)
    with torch.no_grad():
        for name, parameter in pooler.named_parameters():
            parameter.copy_(torch.randn_like(parameter) if "norm" not in name else parameter)
        maps = (pooler.attention.query, pooler.attention.key, pooler.attention.value)
        theirs.in_proj_weight.copy_(torch.cat([one.weight for one in maps]))
        theirs.in_proj_bias.copy_(torch.cat([one.bias for one in maps]))
        theirs.out_proj.load_state_dict(pooler.attention.output.state_dict())
        probe = pooler.probe.expand(3, 1, -1)
        seen, _ = theirs(probe, hidden, hidden, key_padding_mask=~validity)
        normed = F.layer_norm(seen, (4,), eps=1e-6)
        inner = F.gelu(normed @ pooler.feed_forward.up.weight.T + pooler.feed_forward.up.bias)
        expected = seen + inner @ pooler.feed_forward.down.weight.T + pooler.feed_forward.down.bias
        made = pooler(States(hidden, validity=validity))
    torch.testing.assert_close(made, expected[:, 0])


def test_packed_rows_and_other_widths_are_refused():
    packed = States(torch.randn(1, 4, 4), document=torch.tensor([[0, 0, 1, 1]]))
    with pytest.raises(DataError, match="choose --packing off"):
        pooler_of()(packed)
    with pytest.raises(
        ConfigError, match="is 6 wide and what it pools 4; write target_hidden_size"
    ):
        pooler_of(hidden_size=6)


def test_the_logistic_gelu_is_near_the_other():
    from uer.layers.activations import ACTIVATIONS

    place = torch.linspace(-4, 4, 101)
    made = ACTIVATIONS["quick_gelu"](place)
    assert (made - F.gelu(place)).abs().max() < 0.03
    assert made[75] == pytest.approx(2 / (1 + math.exp(-1.702 * 2)), rel=1e-5)
