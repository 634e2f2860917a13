"""Span corruption: t5 and ul2."""

import numpy as np
import pytest
from fake_store import (
    CLS,
    FACTS,
    PAD,
    SENTINELS,
    SEP,
    decoded,
    make_processor,
    prepare_all,
    store_of,
    store_of_lengths,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw
from uer.errors import ConfigError, UserError

S = SENTINELS
corpora = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1, max_size=5)


def restored(source, said):
    """The text: every sentinel of the source replaced by what follows it in the target."""
    spans, number = {}, None
    for token in said:
        if token in S:
            number = token
            spans[number] = []
        else:
            spans[number].append(token)
    numbers = [token for token in said if token in S]
    assert numbers == S[: len(numbers)] and spans[numbers[-1]] == []
    assert [token for token in source if token in S] == numbers[:-1]
    assert all(spans[number] for number in numbers[:-1])
    return [t for token in source for t in spans.get(token, [token])]


def documents(store):
    side = store.sides["src"]
    return [d.tolist() for d in np.split(side.tokens, side.sentences[side.documents][1:-1])]


def texts(processor, store, draw, front=1):
    """The texts of all instances, restored; checks the marks around them."""
    found = []
    for source, read, labels in decoded(prepare_all(processor, store, draw)[1]):
        assert source[0] == CLS and source[-1] == SEP and read[0] == CLS and labels[-1] == SEP
        found.append(restored(source[front:-1], labels[:-1]))
    return found


def test_golden():
    # Half of four tokens in one span: what is kept comes first, so nothing is left to chance.
    processor = make_processor("t5", corruption_rate=0.5, mean_span_length=2)
    store = store_of([[[10, 11], [12, 13]], [[20]]])
    assert decoded(prepare_all(processor, store, Draw(1, 0))[1]) == [
        ([CLS, 10, 11, S[0], SEP], [CLS, S[0], 12, 13, S[1]], [S[0], 12, 13, S[1], SEP]),
        ([CLS, S[0], SEP], [CLS, S[0], 20, S[1]], [S[0], 20, S[1], SEP]),
    ]


def test_spans_of_one_token_alternate():
    processor = make_processor("t5", corruption_rate=0.5, mean_span_length=1)
    store = store_of([[[10, 11, 12, 13]]])
    source, _, labels = decoded(prepare_all(processor, store, Draw(1, 0))[1])[0]
    assert source == [CLS, 10, S[0], 12, S[1], SEP]
    assert labels == [S[0], 11, S[1], 13, S[2], SEP]


def test_marks_follow_the_roles_of_the_tokenizer():
    t5 = {"pad_id": 0, "eos_id": 1, "sentinel_ids": S}  # a vocabulary of T5
    keys = {"corruption_rate": 0.5, "mean_span_length": 2}
    store = store_of([[[10, 11, 12, 13]]])
    made = prepare_all(make_processor("t5", facts=t5, **keys), store, Draw(1, 0))[1]
    assert decoded(made) == [
        ([10, 11, S[0], 1], [PAD, S[0], 12, 13, S[1]], [S[0], 12, 13, S[1], 1])
    ]
    both = {**FACTS, "eos_id": 6, "bos_id": 7}
    made = prepare_all(make_processor("t5", facts=both, **keys), store, Draw(1, 0))[1]
    source, read, labels = decoded(made)[0]
    assert (source[0], source[-1], read[0], labels[-1]) == (CLS, 6, CLS, 6)
    neither = {"pad_id": 0, "sentinel_ids": S}
    with pytest.raises(UserError, match="neither the special token 'eos' nor 'sep'"):
        make_processor("t5", facts=neither)


@given(
    corpus=corpora,
    rate=st.floats(0.05, 0.7),
    mean=st.floats(1, 8),
    room=st.tuples(st.integers(8, 50), st.integers(8, 50)),
)
@settings(max_examples=60, deadline=None)
def test_source_and_target_restore_every_text_once(corpus, rate, mean, room):
    processor = make_processor(
        "t5", seq_length=room[0], tgt_seq_length=room[1], corruption_rate=rate,
        mean_span_length=mean,
    )  # fmt: skip
    store = store_of_lengths(corpus)
    whole = [token for text in texts(processor, store, Draw(1, 0)) for token in text]
    assert whole == [token for document in documents(store) for token in document]


def test_rates_are_exact_and_rows_are_full():
    store = store_of_lengths([[20] * 400])
    processor = make_processor("t5", seq_length=100, tgt_seq_length=40)
    instances, prepared = prepare_all(processor, store, Draw(1, 0))
    length = instances.length[:, 0]
    hidden = prepared.sides["tgt"].lengths() - 2
    source, spans = prepared.sides["src"].lengths() - 2, []
    for _, read, _ in decoded(prepared):
        spans.append(sum(token in S for token in read) - 1)
    noise = np.rint(0.15 * length)
    assert (hidden - np.array(spans) == noise).all()
    assert (np.array(spans) == np.rint(noise / 3)).all()
    assert (source == length - noise + spans).all()
    # Sentences of 20 tokens: one more of them would not fit.
    assert np.median(length) == 100


def test_where_spans_lie_is_uniform():
    store = store_of([[list(range(10, 20))]] * 4000)
    processor = make_processor("t5", corruption_rate=0.4, mean_span_length=2)
    places = np.zeros(10)
    ways = set()
    for source, _, _ in decoded(prepare_all(processor, store, Draw(1, 0))[1]):
        gone = sorted(set(range(10, 20)) - set(source))
        places[np.array(gone) - 10] += 1
        ways.add(tuple(gone))
    # Two spans with 4 of 10 tokens: the cuts of 6 kept and 4 hidden tokens, 5 times 3 ways.
    assert len(ways) == 5 * 3
    assert places[0] == 0 and places[9] == 4000
    assert abs(places[1] / 4000 - 1 / 5) < 0.03


def test_no_more_spans_than_sentinels():
    few = {**FACTS, "sentinel_ids": S[:4]}
    processor = make_processor("t5", facts=few, seq_length=200, tgt_seq_length=200)
    store = store_of_lengths([[5] * 100])
    instances, prepared = prepare_all(processor, store, Draw(1, 0))
    assert instances.length.max() <= 70  # round(70 * .15 / 3) = 4 would be one too many
    assert set(prepared.sides["tgt"].ids.tolist()) & set(S) <= set(S[:4])


def test_refusals():
    with pytest.raises(ConfigError, match=r"corruption_rate: 1\.5 is not in \(0, 1\)"):
        make_processor("t5", corruption_rate=1.5)
    with pytest.raises(ConfigError, match=r"mean_span_length: 0\.5 is less than 1"):
        make_processor("t5", mean_span_length=0.5)
    with pytest.raises(ConfigError, match="'ul2' has too few sentinels: two must be left"):
        make_processor("ul2", facts={**FACTS, "sentinel_ids": S[:4]})
    with pytest.raises(UserError, match="needs the special token 'sentinel'"):
        make_processor("t5", facts={k: v for k, v in FACTS.items() if k != "sentinel_ids"})
    with pytest.raises(ConfigError, match="tgt_seq_length: 3 leaves no room"):
        make_processor("t5", tgt_seq_length=3)
    with pytest.raises(ConfigError, match="the mode 'Q' is none of R, S, X"):
        make_processor("ul2", denoisers=[["Q", 3.0, 0.1]])


# ----------------------------------------------------------------------------------------- ul2

MODES = dict(zip(S[-3:], "RSX", strict=True))


def test_the_mode_s_hides_the_end_of_the_text():
    processor = make_processor("ul2", denoisers=[["S", 1.0, 0.25]])
    store = store_of([[list(range(10, 18))]])
    source, read, labels = decoded(prepare_all(processor, store, Draw(1, 0))[1])[0]
    assert source == [CLS, S[-2], 10, 11, 12, 13, 14, 15, S[0], SEP]
    assert labels == [S[0], 16, 17, S[1], SEP] and read[0] == CLS


@given(corpus=corpora, room=st.tuples(st.integers(10, 60), st.integers(10, 60)))
@settings(max_examples=40, deadline=None)
def test_every_denoiser_restores_every_text_once(corpus, room):
    processor = make_processor("ul2", seq_length=room[0], tgt_seq_length=room[1])
    store = store_of_lengths(corpus)
    whole = [token for text in texts(processor, store, Draw(1, 0), front=2) for token in text]
    assert whole == [token for document in documents(store) for token in document]


def test_the_paper_s_mixture():
    store = store_of_lengths([[40]] * 2100)
    processor = make_processor("ul2", seq_length=128, tgt_seq_length=128)
    seen = {}
    for source, read, _ in decoded(prepare_all(processor, store, Draw(1, 0))[1]):
        spans = sum(token in S for token in read) - 1
        key = (MODES[source[1]], len(read) - spans - 2, spans)
        seen[key] = seen.get(key, 0) + 1
    # (mode, hidden tokens of 40, spans): 64 and 8 tokens per span make one span of few tokens.
    assert seen.keys() == {
        ("R", 6, 2), ("R", 6, 1), ("S", 10, 1), ("X", 20, 7), ("X", 20, 2), ("X", 6, 1),
        ("X", 20, 1),
    }  # fmt: skip
    assert all(abs(count - 300) < 80 for count in seen.values())


def test_denoisers_are_drawn_anew_in_every_epoch():
    store = store_of_lengths([[40]] * 50)
    processor = make_processor("ul2")
    kinds = [processor.index(store, Draw(1, epoch)).fields["kind"].tolist() for epoch in (0, 1)]
    assert kinds[0] != kinds[1]
