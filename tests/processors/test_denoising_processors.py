"""bart and gsg: sentences that change places, spans behind masks, selected sentences."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from fake_store import (
    CLS,
    MASK,
    SEP,
    decoded,
    make_processor,
    prepare_all,
    random_store,
    store_of,
    store_of_lengths,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.processors.gsg import Chosen, rouge

DRAW = Draw(1, 0)
corpora = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=5)


def documents(store):
    """Documents as lists of sentences as lists of tokens."""
    side = store.sides["src"]
    parts = [part.tolist() for part in np.split(side.tokens, side.sentences[1:-1])]
    return [parts[a:b] for a, b in zip(side.documents[:-1], side.documents[1:], strict=True)]


def numbered_store(corpus):
    """A store in which no token occurs twice in a document of up to 90 tokens."""
    made = []
    for lengths in corpus:
        tokens = iter([5 + n % 95 for n in range(sum(lengths))])
        made.append([[next(tokens) for _ in range(length)] for length in lengths])
    return store_of(made)


# ---------------------------------------------------------------------------------------- bart


def test_bart_golden():
    # Without corruption: the text, and how the decoder says it.
    processor = make_processor("bart", corruption_rate=0.0, permute_sentences=0.0)
    store = store_of([[[10, 11], [12]], [[20]]])
    assert decoded(prepare_all(processor, store, DRAW)[1]) == [
        ([CLS, 10, 11, 12, SEP], [CLS, 10, 11, 12], [10, 11, 12, SEP]),
        ([CLS, 20, SEP], [CLS, 20], [20, SEP]),
    ]
    # All is hidden: one mask has to do.
    everything = make_processor("bart", corruption_rate=1.0)
    sources = [source for source, _, _ in decoded(prepare_all(everything, store, DRAW)[1])]
    assert sources == [[CLS, MASK, SEP], [CLS, MASK, SEP]]


def test_sentences_change_places_whole():
    processor = make_processor("bart", corruption_rate=0.0)
    sentences = [[10, 11, 12], [20], [30, 31]]
    store = store_of([sentences] * 3000)
    orders = Counter()
    for source, _, labels in decoded(prepare_all(processor, store, DRAW)[1]):
        assert labels == [10, 11, 12, 20, 30, 31, SEP]
        order = tuple(token for token in source[1:-1] if token % 10 == 0)
        assert source[1:-1] == [t for first in order for s in sentences if s[0] == first for t in s]
        orders[order] += 1
    assert len(orders) == 6 and all(abs(count - 500) < 100 for count in orders.values())


def test_a_share_of_the_sentences_stays():
    processor = make_processor("bart", corruption_rate=0.0, permute_sentences=0.5)
    store = store_of([[[10], [20], [30], [40]]] * 500)
    for source, _, _ in decoded(prepare_all(processor, store, DRAW)[1]):
        moved = sum(a != b for a, b in zip(source[1:-1], [10, 20, 30, 40], strict=True))
        assert moved in (0, 2)


@given(corpus=corpora, rate=st.floats(0, 1), mean=st.floats(0.5, 8), room=st.integers(8, 80))
@settings(max_examples=80, deadline=None)
def test_what_bart_hides(corpus, rate, mean, room):
    store = store_of_lengths(corpus)
    processor = make_processor(
        "bart", seq_length=room, tgt_seq_length=room, corruption_rate=rate, mean_span_length=mean,
        permute_sentences=0.0,
    )  # fmt: skip
    said = []
    for source, _, labels in decoded(prepare_all(processor, store, DRAW)[1]):
        text = labels[:-1]
        said += text
        kept = [token for token in source[1:-1] if token != MASK]
        missing = round(rate * len(text))
        assert len(kept) == len(text) - missing
        assert len(source) - 2 <= len(text)
        assert (MASK in source) == (missing > 0)
        assert all(a != MASK or b != MASK for a, b in pairwise(source))
        rest = iter(text)
        assert all(token in rest for token in kept)  # in the order of the text
    assert said == [token for d in documents(store) for s in d for token in s]


def test_spans_have_poisson_lengths():
    store = store_of([[[5 + n for n in range(90)]]] * 600)
    processor = make_processor("bart", permute_sentences=0.0)
    spans = Counter()
    for source, _, _ in decoded(prepare_all(processor, store, DRAW)[1]):
        before = 4
        for token, following in pairwise(source[1:]):
            if token == MASK:
                spans[(95 if following == SEP else following) - before - 1] += 1
            else:
                before = token
    total = spans.total()
    mean = sum(size * count for size, count in spans.items()) / total
    assert abs(mean - 3) < 0.25  # the last span of a text is cut a little short
    assert abs(spans[0] / total - np.exp(-3)) < 0.01
    assert abs(spans[3] / total - np.exp(-3) * 27 / 6) < 0.03


def test_spans_lie_anywhere():
    store = store_of([[[5 + n for n in range(20)]]] * 4000)
    processor = make_processor("bart", permute_sentences=0.0)
    gone = np.zeros(20)
    for source, _, _ in decoded(prepare_all(processor, store, DRAW)[1]):
        gone[[token - 5 for token in set(range(5, 25)) - set(source)]] += 1
    # Fewer places of a span cover the ends of a text.
    assert np.abs(gone[3:-3] / 4000 - 0.33).max() < 0.04
    assert np.abs(gone - gone[::-1]).max() / 4000 < 0.03


def test_bart_refusals():
    with pytest.raises(ConfigError, match=r"permute_sentences: 2\.0 is not in"):
        make_processor("bart", permute_sentences=2.0)


# ----------------------------------------------------------------------------------------- gsg

TEXT = [[10, 11], [20], [10, 20, 30], [40, 41]]


def gaps(strategy, documents=(TEXT,), **keys):
    processor = make_processor("gsg", sentence_selection_strategy=strategy, **keys)
    return decoded(prepare_all(processor, store_of(documents), DRAW)[1])


def test_gsg_golden():
    assert gaps("lead") == [
        ([CLS, MASK, 20, 10, 20, 30, 40, 41, SEP], [CLS, 10, 11], [10, 11, SEP])
    ]
    assert gaps("lead", gap_sentences_ratio=0.5)[0] == (
        [CLS, MASK, MASK, 10, 20, 30, 40, 41, SEP], [CLS, 10, 11, 20], [10, 11, 20, SEP],
    )  # fmt: skip
    # F1 with the rest: 2·1/8, 2·1/8, 2·2/8, 0; ties go to the earlier sentence.
    assert gaps("principal")[0][2] == [10, 20, 30, SEP]
    assert gaps("principal", gap_sentences_ratio=0.5)[0][2] == [10, 11, 10, 20, 30, SEP]


def test_rouge_by_hand():
    some = Chosen(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), np.array([2, 3, 1, 2, 2]))
    ids = np.array([7, 7, 7, 8, 9, 8, 7, 7, 7, 9])
    # {7,7} and {7,8,9,8}: 1; {7,8,9} and {7,7,8}: 2; {8} and {7,7,7,8,9}: 1; second instance: 1.
    assert rouge(some, ids) == pytest.approx([2 / 6, 4 / 6, 2 / 6, 2 / 4, 2 / 4])


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_rouge_is_that_of_its_definition(data):
    rows = data.draw(
        st.lists(
            st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=5),
            min_size=1,
            max_size=4,
        )
    )
    expected = []
    for sentences in rows:
        for number, sentence in enumerate(sentences):
            rest = Counter(t for n, s in enumerate(sentences) if n != number for t in s)
            overlap = (Counter(sentence) & rest).total()
            precision = overlap / len(sentence)
            recall = overlap / max(rest.total(), 1)
            both = precision + recall
            expected.append(2 * precision * recall / both if both else 0.0)
    sizes = np.array([len(s) for sentences in rows for s in sentences])
    row = np.repeat(np.arange(len(rows)), [len(sentences) for sentences in rows])
    some = Chosen(row, np.zeros_like(row), sizes)
    ids = np.array([t for sentences in rows for s in sentences for t in s])
    assert rouge(some, ids) == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["lead", "random", "principal"])
@given(corpus=corpora, ratio=st.floats(0.1, 0.9), room=st.tuples(*[st.integers(12, 60)] * 2))
@settings(max_examples=40, deadline=None)
def test_masks_and_targets_restore_every_text_once(strategy, corpus, ratio, room):
    store = numbered_store(corpus)
    processor = make_processor(
        "gsg", seq_length=room[0], tgt_seq_length=room[1], gap_sentences_ratio=ratio,
        sentence_selection_strategy=strategy,
    )  # fmt: skip
    instances = processor.index(store, DRAW)
    report = processor.report(instances, store)
    assert report["tokens"] - report["tokens_truncated"] == instances.length.sum()
    if not len(instances):
        return
    assert instances.offsets is not None
    made = decoded(prepare_all(processor, store, DRAW)[1])
    for number, (source, _, labels) in enumerate(made):
        first, end = instances.fields["first"][number], instances.fields["end"][number]
        bounds = instances.offsets[first : end + 1]
        sentences = [store.sides["src"].tokens[a:b].tolist() for a, b in pairwise(bounds)]
        count = max(1, min(round(ratio * len(sentences)), len(sentences) - 1))
        masks = source.count(MASK)
        assert 1 <= masks <= count
        said, read = labels[:-1], source[1:-1]
        for sentence in sentences:
            if read[: len(sentence)] == sentence:
                read = read[len(sentence) :]
            else:
                assert read[0] == MASK and said[: len(sentence)] == sentence
                read, said = read[1:], said[len(sentence) :]
        assert not read and not said


def test_random_gaps_are_anywhere_and_single_sentences_are_counted():
    made = gaps("random", [[[10], [20], [30], [40]]] * 2000)
    said = Counter(labels[0] for _, _, labels in made)
    assert set(said) == {10, 20, 30, 40} and all(abs(n - 500) < 100 for n in said.values())
    store = random_store(30)
    processor = make_processor("gsg", seq_length=64)
    report = processor.report(processor.index(store, DRAW), store)
    assert 0 < report["tokens_truncated"] < report["tokens"] / 3


def test_the_selection_ends_where_the_target_is_full():
    made = gaps("lead", [[[10, 11], [20, 21], [30], [40]]], gap_sentences_ratio=0.75,
                tgt_seq_length=4)  # fmt: skip
    assert made == [([CLS, MASK, 20, 21, 30, 40, SEP], [CLS, 10, 11], [10, 11, SEP])]
