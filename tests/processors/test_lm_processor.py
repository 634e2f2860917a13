import numpy as np
from fake_store import CLS, MARKS, SEP, store_of, store_of_lengths
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.ragged import gather
from uer.data.randomness import Draw
from uer.processors.lm import Lm

DRAW = Draw(1, 0)


def rows_of(store, length):
    """(input, labels) of each row; every input token has a label."""
    processor = Lm(seq_length=length, **MARKS)
    made = processor.index(store, DRAW)
    ragged = gather(store.sides["src"], made, np.arange(len(made)))
    prepared = processor.prepare({"src": ragged}, DRAW, made)
    side, index, value = prepared.token_labels["lm"]
    read = prepared.sides[side]
    assert index.tolist() == list(range(len(read.ids)))
    assert processor.lengths(made)["src"].tolist() == read.lengths().tolist()
    return [
        (read.ids[a:b].tolist(), value[a:b].tolist())
        for a, b in zip(read.offsets[:-1], read.offsets[1:], strict=True)
    ]


def test_golden():
    store = store_of([[[10, 11], [12]], [[20, 21, 22, 23]]])
    assert rows_of(store, 3) == [
        ([CLS, 10, 11], [10, 11, 12]),
        ([12], [SEP]),
        ([CLS, 20, 21], [20, 21, 22]),
        ([22, 23], [23, SEP]),
    ]
    assert rows_of(store, 4)[0] == ([CLS, 10, 11, 12], [10, 11, 12, SEP])
    assert rows_of(store, 9)[1] == ([CLS, 20, 21, 22, 23], [20, 21, 22, 23, SEP])


@given(
    corpus=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=5),
    length=st.integers(1, 20),
)
@settings(max_examples=80, deadline=None)
def test_every_token_is_predicted_once_from_the_one_before(corpus, length):
    store = store_of_lengths(corpus)
    side = store.sides["src"]
    expected = []
    for document in np.split(side.tokens, side.sentences[side.documents][1:-1]):
        wrapped = [CLS, *document.tolist(), SEP]
        for at in range(0, len(wrapped) - 1, length):
            labels = wrapped[at + 1 : at + 1 + length]
            expected.append((wrapped[at : at + len(labels)], labels))
    assert rows_of(store, length) == expected


def test_report():
    store = store_of_lengths([[40, 2], [7]])
    processor = Lm(seq_length=8, **MARKS)
    made = processor.index(store, DRAW)
    assert processor.report(made, store) == {
        "instances": len(made),
        "tokens": 49,
        "tokens_truncated": 0,
    }
