"""What the streams of the ProphetNet decoder may see, alone and in packed rows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TINY, VOCAB, documents_of, model_of

from uer.batch import Batch
from uer.builder import build
from uer.components import Embedding
from uer.errors import ConfigError, DataError

N = 3
PROPHETNET = {
    **TINY,
    "embedding": ["word", "pos"],
    "encoder": "transformer",
    "tgt_embedding": "prophetnet",
    "ngram": N,
    "decoder": "prophetnet",
    "target": "ngram",
    "tie_weights": True,
    "share_embedding": True,
}


def side(documents, rows):
    """Fields of a side, and the places of the tokens, document after document."""
    width = max(sum(len(documents[n]) for n in row) for row in rows)
    shape = (len(rows), width)
    ids, position = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))
    document = torch.full(shape, -1)
    places = []
    for number, row in enumerate(rows):
        column = 0
        for count, name in enumerate(row):
            span = slice(column, column + len(documents[name]))
            ids[number, span] = documents[name]
            position[number, span] = torch.arange(len(documents[name]))
            document[number, span] = count
            places.append(number * width + torch.arange(span.start, span.stop))
            column = span.stop
    fields = {"ids": ids, "validity": document >= 0}
    if any(len(row) > 1 for row in rows):
        fields |= {"position": position, "document": document}
    return fields, torch.cat(places)


def batch_of(sources, targets, rows):
    fields = {}
    for name, documents in (("src", sources), ("tgt", targets)):
        made, place = side(documents, rows)
        fields |= {f"{name}.{key}": value for key, value in made.items()}
    order = [targets[n] for row in rows for n in row]
    fields["labels.ngram.index"] = place
    fields["labels.ngram.value"] = torch.cat([(3 * each + 1) % VOCAB for each in order])
    return Batch(fields), place


def streams(model, batch, place):
    """[n, tokens, H] of the predicting streams."""
    return model.states(batch).extras["streams"].transpose(0, 1).flatten(1, 2)[:, place]


@pytest.mark.parametrize("token", [0, 2, 5])
def test_each_stream_knows_one_token_less(token):
    model = model_of(PROPHETNET)
    (source,), (target,) = documents_of([6]), documents_of([8], seed=1)
    other = target.clone()
    other[token] = (other[token] + 1) % VOCAB
    before, after = (
        streams(model, *batch_of([source], [each], [[0]])).detach() for each in (target, other)
    )
    changed = ~torch.isclose(before, after, atol=1e-6).all(-1)
    for lag in range(N):
        # The document's first token is seen from everywhere.
        expected = [row for row in range(8) if row >= token + lag or token == 0]
        assert changed[lag].nonzero().flatten().tolist() == expected


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=4, max_size=4))
def test_documents_of_a_row_do_not_see_each_other(lengths):
    model = model_of(PROPHETNET)
    sources, targets = documents_of([3, 5, 2, 4]), documents_of(lengths, seed=1)
    assert model.packable
    apart = batch_of(sources, targets, [[0], [1], [2], [3]])
    packed = batch_of(sources, targets, [[0, 1, 2], [3]])
    torch.testing.assert_close(
        streams(model, *packed), streams(model, *apart), atol=1e-5, rtol=1e-4
    )
    one, two = (model(batch)["ngram"] for batch, _ in (apart, packed))
    torch.testing.assert_close(one.loss_sum, two.loss_sum)


def test_every_parameter_but_the_last_reading_streams_receives_a_gradient():
    model = model_of(PROPHETNET).train()
    batch, _ = batch_of(documents_of([6, 5]), documents_of([7, 5], seed=1), [[0], [1]])
    model(batch)["ngram"].loss_sum.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("attention.key.bias"):  # adds the same to all scores of a query
            assert parameter.grad.abs().max() > 1e-7, name


def test_weights_of_the_streams_fall():
    batch, _ = batch_of(documents_of([6, 5]), documents_of([7, 5], seed=1), [[0], [1]])
    losses = {
        gamma: model_of({**PROPHETNET, "ngram_attenuation": gamma})(batch)["ngram"]
        for gamma in (0.0, 0.5, 1.0)
    }
    first = model_of({**PROPHETNET, "target": [{"lm": {"name": "ngram"}}]})(batch)["ngram"]
    torch.testing.assert_close(losses[0.0].loss_sum, first.loss_sum)
    assert list(losses[0.5].metrics) == ["accuracy", "accuracy_2", "accuracy_3"]
    model = model_of(PROPHETNET)
    states = model.states(batch)
    alone = []
    for number in range(N):
        stream = states.extras["streams"][:, number : number + 1]
        only = replace(states, extras={"streams": stream})
        alone.append(model.heads["ngram"](only, batch).loss_sum)
    for gamma in (0.5, 1.0):
        weights = [gamma**number for number in range(N)]
        expected = sum(w * loss for w, loss in zip(weights, alone, strict=True)) / sum(weights)
        torch.testing.assert_close(losses[gamma].loss_sum, expected)


def test_parts_that_do_not_go_together_are_refused():
    batch, _ = batch_of(documents_of([4]), documents_of([5], seed=1), [[0]])
    alone = {key: value for key, value in PROPHETNET.items() if key != "ngram"}
    with pytest.raises(ConfigError, match="needs the streams that tgt_embedding: prophetnet make"):
        model_of({**alone, "tgt_embedding": ["word", "pos"]})(batch)
    with pytest.raises(ConfigError, match="ngram needs a decoder with streams, such as prophetnet"):
        model_of({**PROPHETNET, "decoder": "transformer"})(batch)
    with pytest.raises(ConfigError, match=r"ngram_attenuation: -1\.0 must not be negative"):
        model_of({**PROPHETNET, "ngram_attenuation": -1.0})
    with pytest.raises(ConfigError, match="hidden_size 16 is not the width 8 of its embedding"):
        model_of({**PROPHETNET, "emb_size": 8, "share_embedding": False, "tie_weights": False})
    with pytest.raises(ConfigError, match="heads_num: 3 does not divide hidden_size 16"):
        model_of({**PROPHETNET, "decoder_heads_num": 3})


def test_the_last_token_needs_a_position_behind_it():
    made = build(Embedding, "prophetnet", vocab_size=VOCAB, emb_size=8, max_seq_length=6)
    assert made(Batch({"ids": torch.zeros(1, 5, dtype=torch.int64)}), None).hidden.shape[1] == 5
    with pytest.raises(DataError, match="a target row of 6 tokens needs 7 positions, the model ha"):
        made(Batch({"ids": torch.zeros(1, 6, dtype=torch.int64)}), None)
