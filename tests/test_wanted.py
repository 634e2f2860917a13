"""What the last layer leaves out changes no loss and no gradient."""

import math

import pytest
import torch
from support import BERT, MODELS, TINY, batch_of, documents_of, model_of

from uer.batch import Batch
from uer.training.blocks import recompute
from uer.wanted import Wanted

LENGTHS = [7, 4, 6, 5]
LAYOUTS = {
    "alone": ([[0]], None),
    "padded": ([[0], [1], [2], [3]], 9),
    "packed": ([[0, 1], [2, 3]], 13),
    "one of a row each": ([[0], [1, 3]], 13),
}
STREAM = {"embedding": ["word", "pos"], "encoder": "transformer"}
READERS = {
    "mlm": {"target": ["mlm"]},
    "mlm, sp": {"target": ["mlm", "sp"]},
    "first": {"target": ["cls"], "pooling": "first"},
    "last": {"target": ["cls"], "pooling": "last"},
    "mean": {"target": ["cls"], "pooling": "mean"},
}
STACKS = {
    "post": {},
    "pre": {"layernorm_positioning": "pre", "layer": "scaled"},
    "causal": {"mask": "causal"},
    "prefix": {"mask": "causal_with_prefix"},
    "rotary": {"position": "rotary", "layernorm": "rms", "feed_forward": "gated"},
    "relative": {"position": "relative"},
    "window": {"attention_window": 2, "global_attention_every": 2, "layers_num": 3},
    "own position": {"attention": "positioned", "own_position": "relative"},
    "residual": {"attention": "residual"},
    "few keys": {"kv_heads_num": 1, "query_key_norm": "rms"},
    "shared": {"parameter_sharing": True},
}


def scored(model, batch, *, whole):
    """Losses and gradients; ``whole``: with everything that the encoder can make."""
    model.zero_grad()
    if whole:
        states = model.states(batch)
        scores = {name: head(states, batch) for name, head in model.heads.items()}
    else:
        scores = model(batch)
    losses = {name: score.loss_sum for name, score in scores.items()}
    torch.stack(list(losses.values())).sum().backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in model.named_parameters()
    }
    return losses, gradients


def compare(model, batch):
    one, other = scored(model, batch, whole=True), scored(model, batch, whole=False)
    torch.testing.assert_close(other, one, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("stack", STACKS)
def test_losses_and_gradients_are_those_of_the_whole(stack, reader, layout):
    rows, width = LAYOUTS[layout]
    model = model_of({**BERT, "tie_weights": False, **STACKS[stack], **READERS[reader]})
    batch, _ = batch_of(documents_of(LENGTHS), rows, width)
    compare(model, batch)


@pytest.mark.parametrize("target", ["clr", "siglip"])
def test_streams_are_read_apart(target):
    sections = {"stream_0": dict(STREAM), "stream_1": dict(STREAM)}
    model = model_of(
        {"embedding": "dual", "encoder": "dual", **sections, "target": [target], **TINY}
    )
    batch, _ = batch_of(documents_of(LENGTHS), [[0, 1], [2, 3]], 13)
    other, _ = batch_of(documents_of(LENGTHS[::-1]), [[0], [1], [2], [3]], 9)
    sides = {"src.0": batch.side("src"), "src.1": other.side("src")}
    fields = {f"{side}.{key}": v for side, held in sides.items() for key, v in held.items()}
    compare(model, Batch(fields))


def test_rows_are_left_out_alike():
    model = model_of({**BERT, "drop_path": 0.5, "layernorm_positioning": "pre"}).train()
    batch, _ = batch_of(documents_of(LENGTHS), [[0, 1], [2], [3]], 13)
    found = []
    for whole in (True, False):
        torch.manual_seed(3)
        found.append(scored(model, batch, whole=whole))
    torch.testing.assert_close(found[1], found[0], atol=2e-5, rtol=1e-4)


def test_layers_that_are_computed_twice_leave_out_the_same():
    model = model_of(BERT)
    batch, _ = batch_of(documents_of(LENGTHS), [[0, 1], [2, 3]], 13)
    before = scored(model, batch, whole=True)
    recompute(model)
    torch.testing.assert_close(scored(model, batch, whole=False), before, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_what_nobody_wants_is_not_there(name):
    model = model_of(MODELS[name])
    batch, place = batch_of(documents_of(LENGTHS), [[0, 1], [2, 3]], 13)
    hidden = model.states(batch, model.heads.values()).hidden
    heads = list(model.heads.values())
    states = model.states(batch)
    wants = Wanted.by_all([head.wants(states, batch) for head in heads], states.hidden.shape[:2])
    if wants is None:
        assert not hidden.isnan().any()
        return
    there = ~hidden.isnan().any(-1).flatten()
    asked = set(wants.places.tolist()) - {hidden.shape[0] * hidden.shape[1]}
    assert set(there.nonzero().flatten().tolist()) == asked
    assert len(asked) < len(place)


def test_the_last_layer_is_spared_the_work():
    model = model_of({**BERT, "target": ["cls"], "tie_weights": False, "layers_num": 1})
    rows = []
    layer = model.encoder.layers[0]
    layer.feed_forward.register_forward_hook(lambda _, given, __: rows.append(given[0].shape))
    batch, _ = batch_of(documents_of(LENGTHS), [[0], [1], [2], [3]], 9)
    model(batch)
    model.states(batch)
    assert rows == [(4, 16), (4, 9, 16)]


def test_a_batch_without_labels_still_gives_every_parameter_a_gradient():
    model = model_of({**BERT, "target": ["mlm"]})
    batch, _ = batch_of(documents_of(LENGTHS), [[0], [1]], 9)
    none = torch.zeros(0, dtype=torch.int64)
    score = model(Batch({**batch, "labels.mlm.index": none, "labels.mlm.value": none}))["mlm"]
    score.loss_sum.backward()
    assert score.loss_sum.item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in model.encoder.parameters())


def test_subclasses_that_read_more_than_they_say_get_no_number():
    """A plugin's target that inherits `wants` and reads the mean must not train on anything."""
    model = model_of({**BERT, "target": ["cls"], "tie_weights": False})
    batch, _ = batch_of(documents_of(LENGTHS), [[0], [1]], 9)
    assert math.isnan(model.states(batch, model.heads.values()).hidden.mean().item())


def test_positions_are_joined_once():
    one, other, shape = torch.tensor([3, 1]), torch.tensor([1, 7]), (3, 4)
    assert Wanted.by_all([one], shape).places is one
    assert Wanted.by_all([one, other], shape).places.tolist() == [1, 12, 3, 7]
    assert Wanted.by_all([one, 2], shape).places.tolist() == [1, 2, 3, 6, 10]
    assert Wanted.by_all([2, 2], shape).places == 2
    assert Wanted.by_all([2, 1], shape).places.tolist() == [1, 2, 5, 6, 9, 10]
    assert Wanted.by_all([one, None], shape) is None
    assert Wanted.by_all([], shape) is None


def test_a_vector_that_is_wanted_twice_counts_once():
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    wanted = Wanted.by_all([torch.tensor([1, 4]), torch.tensor([4, 5])], (2, 3))
    placed = wanted.place(wanted.take(hidden), 0.0)
    placed.sum().backward()
    assert hidden.grad[..., 0].tolist() == [[0, 1, 0], [0, 1, 1]]
    assert torch.equal(placed, hidden * hidden.grad)
