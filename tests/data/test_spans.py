import numpy as np
from fake_store import store_of_lengths
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.spans import cut_sentences, reachable, trim_pair

corpora = st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=5), min_size=1, max_size=6)


def loop(corpus, longest, size):
    offsets, documents = [0], [0]
    for document in corpus:
        for length in document:
            if length > longest:
                for _ in range((length - 1) // size):
                    offsets.append(offsets[-1] + size)
                    length -= size
            offsets.append(offsets[-1] + length)
        documents.append(len(offsets) - 1)
    return offsets, documents


@given(corpus=corpora, size=st.integers(1, 9), more=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_cut_sentences_is_the_loop(corpus, size, more):
    text = cut_sentences(store_of_lengths(corpus).sides["src"], longest=size + more, size=size)
    assert (text.offsets.tolist(), text.documents.tolist()) == loop(corpus, size + more, size)
    assert np.diff(text.offsets).max() <= size + more


def test_cut_sentences_golden():
    text = cut_sentences(store_of_lengths([[3, 10], [4]]).sides["src"], longest=5, size=4)
    assert text.offsets.tolist() == [0, 3, 7, 11, 13, 17]
    assert text.documents.tolist() == [0, 4, 5]
    assert text.owners().tolist() == [0, 0, 0, 0, 1]


def test_sentences_that_fit_stay():
    text = cut_sentences(store_of_lengths([[3, 5], [4]]).sides["src"], longest=5, size=2)
    assert text.offsets.tolist() == [0, 3, 8, 12]


@given(data=st.data(), size=st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_reachable_is_the_walk(data, size):
    following = np.array([data.draw(st.integers(i + 1, size)) for i in range(size)])
    roots = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4)))
    visited = set()
    for node in roots.tolist():
        while node < size:
            visited.add(node)
            node = int(following[node])
    assert set(np.flatnonzero(reachable(following, roots)).tolist()) == visited


def test_reachable_walks_a_long_way():
    assert reachable(np.arange(1, 10_001), np.array([0])).all()


@given(
    lengths=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=50),
    room=st.integers(0, 40),
)
@settings(max_examples=80, deadline=None)
def test_trim_pair_is_the_loop(lengths, room):
    first, second = np.array(lengths).T
    trim = trim_pair(first, second, room)
    for i, (a, b) in enumerate(lengths):
        lost = [0, 0]
        while a + b > room:
            if a > b:
                a, lost[0] = a - 1, lost[0] + 1
            else:
                b, lost[1] = b - 1, lost[1] + 1
        assert [trim.first[i], trim.second[i]] == lost
