"""Models of two streams: what the streams see, share and give to contrastive learning."""

import math
from dataclasses import replace

import pytest
import torch
from support import TINY, batch_of, documents_of, model_of
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.components import Target
from uer.errors import ConfigError, DataError
from uer.states import States

SBERT = {"embedding": ["word", "pos", "seg"], "encoder": "transformer", **TINY}
LSTM = {"embedding": ["word"], "encoder": "lstm"}
LSTM |= {"emb_size": 8, "hidden_size": 12, "layers_num": 2, "dropout": 0.0}


LSTM_ONLY = {"encoder": "lstm", "hidden_size": 12, "layers_num": 2}
BOTH = {"embedding": "dual", "max_seq_length": 64}


def dual(first, second, **keys):
    streams = {"stream_0": first, "stream_1": second}
    return {"embedding": "dual", "encoder": "dual", "target": "clr", **streams, **keys}


MODELS = {
    "sbert": dual(SBERT, SBERT, tie_streams=True, pooling="mean"),
    "siamese-lstm": dual(LSTM, LSTM, tie_streams=True, pooling="mean"),
    "untied": dual(SBERT, LSTM, feature_size=10, pooling_1="last"),
}


def pairs_of(*sides, packed=False):
    """A batch of pairs; the lengths of the documents of each stream are given."""
    rows = [[0, 1], [2]] if packed else [[n] for n in range(len(sides[0]))]
    fields = {}
    for number, lengths in enumerate(sides):
        batch, _ = batch_of(documents_of(lengths, seed=number), rows)
        fields |= {f"src.{number}.{key}": value for key, value in batch.side("src").items()}
    return Batch(fields)


BATCH = pairs_of([5, 3, 6], [4, 7, 2])


@pytest.mark.parametrize("name", MODELS)
def test_each_stream_is_what_it_would_be_alone(name):
    model = model_of(MODELS[name])
    states = model.states(BATCH)
    assert len(states.streams) == 2 and states.hidden is states.streams[0].hidden
    for number, stream in enumerate(states.streams):
        alone = model.embedding.streams[number](BATCH.side(f"src.{number}"), None)
        alone = model.encoder.streams[number](alone)
        torch.testing.assert_close(stream.hidden, alone.hidden)


def test_tied_streams_are_one_and_count_once():
    model, single = model_of(MODELS["sbert"]), model_of({**SBERT, "target": []})
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(p.numel() for p in single.parameters()) + 1  # the temperature
    assert model.encoder.streams[0] is model.encoder.streams[1]
    with pytest.raises(ConfigError, match="tie_streams: the streams differ, for example in"):
        model_of(dual(SBERT, LSTM, tie_streams=True, feature_size=4))


def test_streams_see_what_stands_outside_of_them():
    body = {"encoder": "transformer", "embedding": ["word"], "layers_num": 1}
    outside = {key: value for key, value in TINY.items() if key not in ("layers_num", "emb_size")}
    first = {**body, "emb_size": 8, "mask": "causal"}
    config = dual(first, {**body, "emb_size": 16, "hidden_size": 24}, **outside, feature_size=4)
    del config["max_seq_length"]
    model = model_of(config)
    assert model.embedding.output_sizes == (8, 16) and model.encoder.output_sizes == (16, 24)
    assert [encoder.mask for encoder in model.encoder.streams] == ["causal", "fully_visible"]


def test_dual_embeddings_and_encoders_go_together():
    with pytest.raises(ConfigError, match="encoder: it reads one of the embedding's streams"):
        model_of({**dual({"embedding": "word"}, {"embedding": "word"}), **SBERT, **BOTH})
    with pytest.raises(ConfigError, match="encoder 'dual' reads two streams and there is one"):
        model_of({**dual(LSTM_ONLY, LSTM_ONLY), "embedding": ["word"], "emb_size": 16})
    with pytest.raises(ConfigError, match="target 'clr' compares two streams; choose embedding"):
        model_of({**SBERT, "target": "clr"})
    with pytest.raises(ConfigError, match="streams 16 and 12 wide need a common feature_size"):
        model_of(dual(SBERT, LSTM))


def test_rows_of_each_stream_are_checked():
    model = model_of({**MODELS["siamese-lstm"], "max_seq_length": 6})
    with pytest.raises(DataError, match="a row of 7 tokens is longer than max_seq_length 6"):
        model(BATCH)


def test_a_batch_of_one_side_is_refused():
    batch, _ = batch_of(documents_of([4]), [[0]])
    with pytest.raises(DataError, match="embedding 'dual' reads two streams"):
        model_of(MODELS["sbert"])(batch)


def test_they_are_packable_if_both_streams_are():
    assert model_of(MODELS["sbert"]).packable and not model_of(MODELS["untied"]).packable
    model = model_of(MODELS["sbert"])
    packed = pairs_of([5, 3, 6], [4, 7, 2], packed=True)
    one, other = (model(batch)["clr"] for batch in (BATCH, packed))
    torch.testing.assert_close(one.loss_sum, other.loss_sum)
    assert model.weights(BATCH)["clr"] == model.weights(packed)["clr"] == 3


@pytest.mark.parametrize("name", MODELS)
def test_they_learn_what_belongs_together(name):
    model = model_of(MODELS[name]).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for step in range(40):
        loss = model(BATCH)["clr"].loss_sum / 3
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.on_update(step + 1, 40)
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


# ------------------------------------------------------------------------------------- the target


def contrast(**keys):
    torch.manual_seed(0)
    target = build(Target, "clr", input_sizes=(6, 4), **{"feature_size": 5, **keys})
    draw = torch.Generator().manual_seed(0)
    streams = tuple(States(torch.randn(3, 2, size, generator=draw)) for size in (6, 4))
    return target, replace(streams[0], streams=streams)


def test_the_loss_is_the_mean_of_both_directions():
    target, states = contrast(pooling="mean")
    one, other = (
        F.normalize(stream.hidden.mean(1) @ project.weight.T, dim=-1)
        for stream, project in zip(states.streams, target.projections, strict=True)
    )
    logits = one @ other.T / 0.07
    expected = 0
    for row in range(3):
        for table in (logits, logits.T):
            expected -= (table[row, row] - table[row].logsumexp(0)) / 2
    score = target(states, BATCH)
    torch.testing.assert_close(score.loss_sum, expected)
    accuracy = score.metrics["accuracy"]
    assert accuracy.total == (logits.argmax(-1) == torch.arange(3)).sum() and accuracy.weight == 3


def test_streams_may_be_pooled_differently():
    target, states = contrast(pooling="first", pooling_1="last")
    second = states.streams[1].hidden[:, 1] @ target.projections[1].weight.T
    torch.testing.assert_close(target.features(states)[1], F.normalize(second, dim=-1))


def test_the_temperature_starts_at_its_value_is_bounded_and_does_not_decay():
    target, _ = contrast()
    assert target.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        target.logit_scale.fill_(9.0)
    target.on_update(1, 1)
    assert target.logit_scale.item() == pytest.approx(math.log(100))
    assert target.no_decay() == [target.logit_scale] and not target.additive
