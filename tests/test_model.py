"""Assembled models: what padding, packing and sharing may not change."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import BERT, MODELS, VOCAB, batch_of, documents_of, model_of
from torch import nn

from uer.builder import Planner
from uer.components import Decoder, Embedding, decoders, embeddings
from uer.errors import ConfigError, DataError
from uer.model import Model
from uer.states import States

CAUSAL = ("gpt2", "llama")


def outcome(model, documents, rows, width=None):
    """Hidden vectors document after document, losses, gradients of the summed losses."""
    batch, place = batch_of(documents, rows, width)
    model.zero_grad(set_to_none=True)
    states = model.states(batch)
    losses = {name: score.loss_sum for name, score in model(batch).items()}
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return states.at(place).detach(), losses, gradients


def close(one, other):
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    for mine, theirs in ((one[1], other[1]), (one[2], other[2])):
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=5, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 7), min_size=2, max_size=4),
    cut=st.integers(1, 3),
    more=st.integers(0, 3),
)
def test_padding_and_packing_change_nothing(name, lengths, cut, more):
    model, documents = model_of(MODELS[name]), documents_of(lengths)
    numbers = list(range(len(documents)))
    padded = outcome(model, documents, [[n] for n in numbers])
    rows = [row for row in (numbers[:cut], numbers[cut:]) if row]
    width = max(sum(len(documents[n]) for n in row) for row in rows) + more
    close(outcome(model, documents, rows, width), padded)
    alone = [outcome(model, documents[n : n + 1], [[0]]) for n in numbers]
    summed = {key: sum(one[2][key] for one in alone) for key in alone[0][2]}
    losses = {key: sum(one[1][key] for one in alone) for key in alone[0][1]}
    close((torch.cat([one[0] for one in alone]), losses, summed), padded)


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_models_do_not_see_what_comes(name):
    model, (document,) = model_of(MODELS[name]), documents_of([8])
    later = document.clone()
    later[5:] = (later[5:] + 1) % VOCAB
    before = model.states(batch_of([document], [[0]])[0]).hidden[0]
    after = model.states(batch_of([later], [[0]])[0]).hidden[0]
    torch.testing.assert_close(before[:5], after[:5])
    assert not torch.isclose(before[5:], after[5:]).all(-1).any()


def changes(name, place):
    """Which tokens notice that the one at ``place`` is another."""
    model, (document,) = model_of(MODELS[name]), documents_of([8])
    other = document.clone()
    other[place] = (other[place] + 1) % VOCAB
    before, after = (model.states(batch_of([d], [[0]])[0]).hidden[0] for d in (document, other))
    return (~torch.isclose(before, after, atol=1e-6).all(-1)).nonzero().flatten().tolist()


def test_everybody_sees_the_prefix_and_nobody_sees_ahead_behind_it():
    assert changes("prefix", 2) == [0, 1, 2, 3, 4, 5, 6, 7]  # the prefix is three tokens long
    assert changes("prefix", 5) == [5, 6, 7]
    assert changes("gpt2", 2) == [2, 3, 4, 5, 6, 7]
    assert changes("bert", 5) == [0, 1, 2, 3, 4, 5, 6, 7]


# ----------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_receives_a_gradient(name):
    model, documents = model_of(MODELS[name]).train(), documents_of([6, 5, 7])
    _, _, gradients = outcome(model, documents, [[0], [1], [2]])
    for key, gradient in gradients.items():
        assert gradient is not None, key
        if key.endswith("attention.key.bias"):  # adds the same to all scores of a query
            assert gradient.abs().max() < 1e-5, key
        else:
            assert gradient.abs().max() > 1e-5, key


@pytest.mark.parametrize("name", MODELS)
def test_the_first_loss_is_that_of_guessing(name):
    planner = Planner({**MODELS[name], "emb_size": 64, "hidden_size": 64})
    torch.manual_seed(0)
    model = planner.section(Model).build({"vocab_size": 500, "labels_num": 3})
    batch, _ = batch_of(documents_of([9] * 20), [[n] for n in range(20)])
    classes = {"mlm": 500, "lm": 500, "sp": 2, "cls": 3}
    for target, score in model(batch).items():
        mean = score.loss_sum / model.weights(batch)[target]
        assert abs(mean.item() - math.log(classes[target])) < 0.1 * math.log(classes[target])


@pytest.mark.parametrize("name", MODELS)
def test_weight_decay_spares_norms_and_biases_and_forgets_nothing(name):
    model = model_of(MODELS[name])
    decayed, spared = model.decay_groups()
    assert sorted([*dict(decayed), *dict(spared)]) == sorted(dict(model.named_parameters()))
    assert {p.dim() for _, p in decayed} == {2} and {p.dim() for _, p in spared} == {1}


def test_frozen_parameters_stand_in_no_group():
    model = model_of(BERT)
    model.embedding.requires_grad_(False)
    groups = model.decay_groups()
    assert not [name for group in groups for name, _ in group if name.startswith("embedding")]


def test_the_weights_of_targets_are_known_before_the_model_runs():
    model = model_of(BERT)
    batch, _ = batch_of(documents_of([4, 7]), [[0], [1]])
    scores = model(batch)
    assert {name: w.item() for name, w in model.weights(batch).items()} == {"mlm": 6, "sp": 2}
    for name, weight in model.weights(batch).items():
        assert scores[name].metrics["accuracy"].weight == weight


def test_entries_of_targets_have_names_weights_and_their_own_labels():
    config = {**BERT, "target": ["mlm", {"cls": {"name": "topic", "weight": 0.25}}]}
    model = model_of(config)
    assert model.loss_weights == {"mlm": 1.0, "topic": 0.25} and model.additive
    batch, _ = batch_of(documents_of([4, 7]), [[0], [1]])
    with pytest.raises(
        DataError, match=r"no field 'labels\.topic\.value'; it has: .*Choose a data"
    ):
        model(batch)
    batch = batch.replace(labels__topic__value=torch.tensor([0, 2]))
    assert set(model(batch)) == {"mlm", "topic"}


def test_parts_hear_of_updates(monkeypatch):
    heard, model = [], model_of(BERT)
    monkeypatch.setattr(type(model.encoder), "on_update", lambda self, *s: heard.append(s))
    model.on_update(3, 10)
    assert heard == [(3, 10)]


# ------------------------------------------------------------------------- tying and sharing


class Numbers(Embedding):
    """Has no word table."""

    first = True
    output_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(16))

    def forward(self, batch, states):
        return States(batch["ids"][..., None] * self.scale)


class Echo(Decoder):
    """Adds the memory's first state."""

    packable = True
    output_size = 16

    def __init__(self) -> None:
        super().__init__()

    def forward(self, states, memory):
        return states.with_hidden(states.hidden + memory.hidden[:, :1])


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(embeddings, "_plugins", {"numbers": Numbers})
    monkeypatch.setattr(decoders, "_plugins", {"echo": Echo})


TWO_SIDES = {
    **{key: value for key, value in BERT.items() if key != "target"},
    "tgt_embedding": ["word", "pos"],
    "decoder": "echo",
    "target": "lm",
    "tie_weights": False,
}


def test_output_layers_share_the_word_table():
    model = model_of(BERT)
    table = model.embedding.parts["word"].weight
    assert model.targets["mlm"].output.weight is table
    names = [name for name, _ in model.named_parameters()]
    assert "targets.mlm.output.weight" not in names
    untied = model_of({**BERT, "tie_weights": False})
    assert untied.targets["mlm"].output.weight is not untied.embedding.parts["word"].weight


def test_tables_that_do_not_fit_are_not_tied():
    with pytest.raises(
        ConfigError, match=r"tie_weights: the word table \[50, 8\] does not fit the"
    ):
        model_of({**MODELS["gpt2"], "emb_size": 8})


def test_without_a_word_table_there_is_nothing_to_share(toys):
    with pytest.raises(ConfigError, match="tie_weights: there is no word embedding to share"):
        model_of({**_without(BERT, "emb_size"), "embedding": "numbers"})
    with pytest.raises(ConfigError, match="share_embedding: needs a word embedding on both sides"):
        model_of({**BERT, "share_embedding": True})


def _without(config, key):
    return {name: value for name, value in config.items() if name != key}


def test_the_target_side_may_share_the_sources_table_and_the_output_layer_too(toys):
    model = model_of({**TWO_SIDES, "share_embedding": True, "tie_weights": True})
    table = model.embedding.parts["word"].weight
    assert model.tgt_embedding.parts["word"].weight is table
    assert model.targets["lm"].output.weight is table


def test_only_tables_of_one_shape_are_shared(toys):
    with pytest.raises(
        ConfigError, match=r"source table is \[50, 16\], the target table \[60, 16\]"
    ):
        model_of({**TWO_SIDES, "share_embedding": True}, **{"tgt_embedding.vocab_size": 60})


def test_a_decoder_and_its_embedding_go_together(toys):
    for key in ("decoder", "tgt_embedding"):
        with pytest.raises(ConfigError, match="decoder and tgt_embedding go together"):
            model_of(_without(TWO_SIDES, key))


def test_targets_score_the_decoder_where_there_is_one(toys):
    model = model_of(TWO_SIDES)
    source, _ = batch_of(documents_of([4]), [[0]])
    target, _ = batch_of(documents_of([6], seed=1), [[0]])
    fields = {"tgt" + name[3:] if name.startswith("src") else name: v for name, v in target.items()}
    batch = source.replace(**{name.replace(".", "__"): v for name, v in fields.items()})
    embedded = model.tgt_embedding(batch.side("tgt"), None).hidden
    memory = model.encoder(model.embedding(batch.side("src"), None)).hidden
    expected = embedded + memory[:, :1]
    torch.testing.assert_close(model.states(batch).hidden, expected)
    assert set(model(batch)) == {"lm"} and model.packable


# ------------------------------------------------------------------------------------ refusals


def test_rows_longer_than_the_model_knows_are_refused():
    batch, _ = batch_of(documents_of([70]), [[0]])
    with pytest.raises(DataError, match="a row of 70 tokens is longer than max_seq_length 64; low"):
        model_of(BERT)(batch)
    short = _without(BERT, "max_seq_length")
    batch, _ = batch_of(documents_of([600]), [[0]])
    with pytest.raises(DataError, match="a row of 600 tokens is longer than the model's 512 posit"):
        model_of(short)(batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": ["pos", "seg"]}, r"exactly one part that reads the batch .* has 0"),
        ({"embedding": ["word", "numbers"]}, r"exactly one part that reads the batch .* has 2"),
        ({"embedding": ["word", {"pos": {"emb_size": 8}}]}, "different width cannot be added"),
    ],
)
def test_lists_of_embeddings_that_make_no_sum_are_refused(toys, change, message):
    with pytest.raises(ConfigError, match=message):
        model_of({**BERT, **change})


def test_the_order_of_a_list_of_embeddings_does_not_matter():
    batch, _ = batch_of(documents_of([5]), [[0]])
    one = model_of(BERT)
    other = model_of({**BERT, "embedding": ["seg", "pos", "word"]})
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.states(batch).hidden, other.states(batch).hidden)


def test_absent_segments_and_positions_are_zero_and_counted():
    model, (document,) = model_of(BERT), documents_of([6])
    batch, _ = batch_of([document], [[0]])
    bare = batch.replace(src__segment=torch.zeros(1, 6, dtype=torch.int64))
    full = bare.replace(src__position=torch.arange(6)[None])
    fields = {name: value for name, value in bare.items() if name != "src.segment"}
    absent = model.states(type(batch)(fields)).hidden
    torch.testing.assert_close(absent, model.states(bare).hidden)
    torch.testing.assert_close(absent, model.states(full).hidden)
