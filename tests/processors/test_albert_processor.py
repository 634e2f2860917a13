import numpy as np
from fake_store import (
    CLS,
    SEP,
    make_processor,
    prepare_all,
    random_store,
    store_of,
    store_of_lengths,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw

DRAW = Draw(1, 0)


def pairs_of(processor, store, draw=DRAW):
    """(A, B, label) of every pair, as they stood before masking."""
    _, prepared = prepare_all(processor, store, draw)
    ragged = prepared.sides["src"]
    ids = ragged.ids.copy()
    _, place, value = prepared.token_labels["mlm"]
    ids[place] = value
    assert ragged.segment is not None
    found = []
    for text, segment, label in zip(
        np.split(ids, ragged.offsets[1:-1]),
        np.split(ragged.segment, ragged.offsets[1:-1]),
        prepared.row_labels["sp"],
        strict=True,
    ):
        first, second = text[segment == 0].tolist(), text[segment == 1].tolist()
        assert first[0] == CLS and first[-1] == second[-1] == SEP
        found.append((first[1:-1], second[:-1], int(label)))
    return found


def test_golden():
    processor = make_processor("albert", seq_length=16, short_seq_prob=0.0)
    made = pairs_of(processor, store_of([[[10, 11], [12]]] * 400))
    assert {(tuple(a), tuple(b), label) for a, b, label in made} == {
        ((10, 11), (12,), 0),
        ((12,), (10, 11), 1),
    }
    assert abs(sum(label for _, _, label in made) - 200) < 40


def test_a_sentence_alone_is_divided_and_a_token_alone_is_counted():
    processor = make_processor("albert", seq_length=16, short_seq_prob=0.0)
    store = store_of([[[10, 11, 12]]] * 300 + [[[20]]])
    made = pairs_of(processor, store)
    halves = {(tuple(a), tuple(b)) for a, b, label in made if label == 0}
    assert halves == {((10,), (11, 12)), ((10, 11), (12,))}
    report = processor.report(processor.index(store, DRAW), store)
    assert report == {"instances": 300, "tokens": 901, "tokens_truncated": 1}


@given(
    corpus=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=5),
    length=st.integers(5, 60),
    short=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_texts_are_neighbours_none_is_empty_and_all_is_counted(corpus, length, short):
    store = store_of_lengths(corpus)
    processor = make_processor("albert", seq_length=length, short_seq_prob=short)
    instances = processor.index(store, DRAW)
    report = processor.report(instances, store)
    tokens = store.sides["src"].tokens.tolist()
    assert report["tokens"] - report["tokens_truncated"] == instances.length.sum()
    assert (instances.length > 0).all()
    swapped = instances.fields["swapped"]
    start = np.where(swapped[:, None], instances.start[:, ::-1], instances.start)
    size = np.where(swapped[:, None], instances.length[:, ::-1], instances.length)
    ends = np.concatenate([[0], (start + size).ravel()])
    gaps = np.concatenate([start.ravel(), [len(tokens)]]) - ends  # nothing twice, all in order
    assert (gaps >= 0).all() and gaps.sum() == report["tokens_truncated"]
    if len(instances):
        for (a, b, label), begin, used in zip(pairs_of(processor, store), start, size, strict=True):
            first, second = (b, a) if label else (a, b)
            assert first == tokens[begin[0] : begin[0] + used[0]]
            assert second == tokens[begin[1] : begin[1] + used[1]]


def test_little_is_lost_of_a_corpus():
    store = random_store(60)
    processor = make_processor("albert", seq_length=64)
    report = processor.report(processor.index(store, DRAW), store)
    assert report["tokens_truncated"] < 0.15 * report["tokens"]
