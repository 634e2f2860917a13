import numpy as np
import pytest
from fake_store import CLS, SEP, make_processor, store_of, store_of_lengths
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.ragged import gather
from uer.data.randomness import Draw

DRAW = Draw(1, 0)
corpora = st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=6), min_size=1, max_size=8)


def instances_of(store, **settings):
    processor = make_processor("mlm", **settings)
    made = processor.index(store, DRAW)
    ragged = gather(store.sides["src"], made, np.arange(len(made)))
    assert made.lengths().tolist() == ragged.lengths().tolist()
    return [p.tolist() for p in np.split(ragged.ids, ragged.offsets[1:-1])]


def naive(documents, room, across):
    """Fill instances sentence by sentence."""
    out, current = [], []

    def close():
        if current:
            out.append([CLS, *current, SEP])
            current.clear()

    for document in documents:
        opens = True
        for sentence in document:
            for at in range(0, len(sentence), room):
                part = sentence[at : at + room]
                glue = [SEP] if opens and current else []
                if len(current) + len(glue) + len(part) > room:
                    close()
                    glue = []
                current += glue + part
                opens = False
        if not across:
            close()
    close()
    return out


@pytest.mark.parametrize("across", [False, True])
@given(corpus=corpora, length=st.integers(3, 40))
@settings(max_examples=80, deadline=None)
def test_instances_are_those_of_the_loop(across, corpus, length):
    store = store_of_lengths(corpus)
    side = store.sides["src"]
    sentences = iter(np.split(side.tokens, side.sentences[1:-1]))
    documents = [[next(sentences).tolist() for _ in document] for document in corpus]
    expected = naive(documents, length - 2, across)
    assert instances_of(store, seq_length=length, full_sentences=across) == expected
    assert max(map(len, expected)) <= length


def test_golden():
    store = store_of([[[10, 11], [12], [13, 14, 15]], [[20]], [[21, 22]]])
    assert instances_of(store, seq_length=6) == [
        [CLS, 10, 11, 12, SEP],
        [CLS, 13, 14, 15, SEP],
        [CLS, 20, SEP],
        [CLS, 21, 22, SEP],
    ]
    assert instances_of(store, seq_length=8, full_sentences=True) == [
        [CLS, 10, 11, 12, 13, 14, 15, SEP],
        [CLS, 20, SEP, 21, 22, SEP],
    ]


@pytest.mark.parametrize("across", [False, True])
def test_nothing_is_truncated(across):
    store = store_of_lengths([[100], [3, 4], [7]])
    processor = make_processor("mlm", seq_length=16, full_sentences=across)
    figures = processor.report(processor.index(store, DRAW), store)
    assert figures["tokens_truncated"] == 0 and figures["tokens"] == 114


@pytest.mark.parametrize("mode", [{}, {"masking": "span"}, {"masking": "word"}])
def test_labels_are_the_tokens_that_stood_there(mode):
    store = store_of_lengths([[30], [20, 9]])
    processor = make_processor("mlm", seq_length=32, **mode)
    made = processor.index(store, DRAW)
    ragged = gather(store.sides["src"], made, np.arange(len(made)))
    prepared = processor.prepare({"src": ragged}, DRAW, made)
    side, index, value = prepared.token_labels["mlm"]
    assert side == "src" and len(index) > 0
    assert np.array_equal(ragged.ids[index], value)
    assert not np.array_equal(prepared.sides["src"].ids, ragged.ids)
    assert not prepared.row_labels
