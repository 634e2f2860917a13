from itertools import pairwise

from fake_store import (
    CLS,
    SEP,
    make_processor,
    prepare_all,
    spoken,
    store_of,
    store_of_lengths,
    texts_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw

DRAW = Draw(1, 0)


def rows_of(store, length):
    prepared = prepare_all(make_processor("bilm", seq_length=length), store, DRAW)[1]
    return [
        (read, dict(forward), dict(backward))
        for read, forward, backward in zip(
            texts_of(prepared.sides["src"]),
            spoken(prepared, "bilm"),
            spoken(prepared, "bilm.backward"),
            strict=True,
        )
    ]


def test_golden():
    store = store_of([[[10, 11], [12]], [[20]]])
    assert rows_of(store, 3) == [
        ([CLS, 10, 11], {0: 10, 1: 11, 2: 12}, {1: CLS, 2: 10}),
        ([12, SEP], {0: SEP}, {0: 11, 1: 12}),
        ([CLS, 20, SEP], {0: 20, 1: SEP}, {1: CLS, 2: 20}),
    ]


@given(
    corpus=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=5),
    length=st.integers(1, 20),
)
@settings(max_examples=80, deadline=None)
def test_every_neighbour_is_predicted_once_in_each_direction(corpus, length):
    store = store_of_lengths(corpus)
    side, expected = store.sides["src"], []
    bounds = side.sentences[side.documents]
    for begin, end in pairwise(bounds):
        text = [CLS, *side.tokens[begin:end].tolist(), SEP]
        for at in range(0, len(text), length):
            read = text[at : at + length]
            forward = {n: text[at + n + 1] for n in range(len(read)) if at + n + 1 < len(text)}
            backward = {n: text[at + n - 1] for n in range(len(read)) if at + n > 0}
            expected.append((read, forward, backward))
    assert rows_of(store, length) == expected
