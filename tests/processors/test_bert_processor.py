import logging

import numpy as np
import pytest
from fake_store import (
    CLS,
    MASK,
    SEP,
    make_processor,
    random_store,
    store_of,
    store_of_lengths,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.ragged import gather
from uer.data.randomness import Draw
from uer.data.spans import cut_sentences
from uer.errors import ConfigError, DataError
from uer.processors.bert import sequential_chunks, trimmed_pairs

corpora = st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=7), min_size=2, max_size=8)


def naive_chunks(corpus, room, short_seq_prob, draw):
    """The original loop over sentences, on the same draws; (document, first, middle, end, random).

    Sentence numbers count through the whole corpus, as the draws do.
    """
    chunks, before = [], 0
    for number, document in enumerate(corpus):
        target = room
        if draw.uniform("short", [number])[0] < short_seq_prob:
            target = 2 + int(draw.integers("short length", [number], room - 1)[0])
        current, i = [], 0
        while i < len(document):
            current.append(document[i])
            if i == len(document) - 1 or sum(current) >= target:
                first = before + i - len(current) + 1
                a_end = 1
                if len(current) >= 2:
                    a_end += int(draw.integers("middle", [first], len(current) - 1)[0])
                coin = int(draw.bits("random next", [first])[0]) >> 63
                random = len(current) == 1 or coin == 1
                chunks.append((number, first, first + a_end, before + i + 1, random))
                if random:
                    i -= len(current) - a_end
                current = []
            i += 1
        before += len(document)
    return chunks


@given(
    corpus=corpora,
    room=st.integers(2, 40),
    short=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 50),
)
@settings(max_examples=80, deadline=None)
def test_chunks_are_those_of_the_sequential_loop(corpus, room, short, seed):
    text = cut_sentences(store_of_lengths(corpus).sides["src"], longest=1000, size=1000)
    draw = Draw(seed, 0)
    chunks = sequential_chunks(text, room, short, draw)
    found = zip(*(c.tolist() for c in chunks[:4]), strict=True)
    assert list(found) == [c[1:] for c in naive_chunks(corpus, room, short, draw)]


@given(corpus=corpora, length=st.integers(5, 40), epoch=st.integers(0, 30))
@settings(max_examples=80, deadline=None)
def test_pairs_keep_their_promises(corpus, length, epoch):
    store = store_of_lengths(corpus)
    processor = make_processor("bert", seq_length=length)
    made = processor.index(store, Draw(1, epoch))
    bounds = np.cumsum([0, *map(sum, corpus)])
    random = made.fields["random"]
    covered = np.zeros(bounds[-1], np.int64)
    for i in range(len(made)):
        (a, b), (la, lb) = made.start[i], made.length[i]
        owners = [np.searchsorted(bounds, x, side="right") - 1 for x in (a, a + la - 1)]
        others = [np.searchsorted(bounds, x, side="right") - 1 for x in (b, b + lb - 1)]
        assert owners[0] == owners[1] and others[0] == others[1]
        assert (owners[0] != others[0]) == random[i]
        assert la >= 1 and lb >= 1 and la + lb <= length - 3
        covered[a : a + la] += 1
        if not random[i]:
            assert b >= a + la
            covered[b : b + lb] += 1
    assert covered.max() <= 1
    assert processor.report(made, store)["tokens_truncated"] == (covered == 0).sum()
    assert made.lengths().max() <= length


def test_golden_instance():
    # Two sentences a document: a pair is either both of them, or one and a random one.
    store = store_of([[[10, 11], [12]], [[20, 21], [22]]])
    processor = make_processor("bert", seq_length=8, short_seq_prob=0.0, mask_rate=0.5)
    texts = {(10, 11): 0, (12,): 0, (20, 21): 1, (22,): 1, (10, 11, 12): 0, (20, 21, 22): 1}
    following = {(10, 11): (12,), (20, 21): (22,)}
    labels = set()
    for epoch in range(20):
        draw = Draw(1, epoch)
        made = processor.index(store, draw)
        which = np.arange(len(made))
        ragged = gather(store.sides["src"], made, which)
        prepared = processor.prepare({"src": ragged}, draw, made)
        for i, random in enumerate(prepared.row_labels["sp"].tolist()):
            ids = ragged.ids[ragged.offsets[i] : ragged.offsets[i + 1]].tolist()
            cut = ids.index(SEP)
            a, b = tuple(ids[1:cut]), tuple(ids[cut + 1 : -1])
            assert ids[0] == CLS and ids[-1] == SEP
            assert ragged.segment is not None
            segments = ragged.segment[ragged.offsets[i] : ragged.offsets[i + 1]].tolist()
            assert segments == [0] * (len(a) + 2) + [1] * (len(b) + 1)
            # 0: B follows A; 1: B is random, from another document.
            assert following.get(a) == b if random == 0 else texts[a] != texts[b]
            labels.add(random)
        side, index, value = prepared.token_labels["mlm"]
        assert side == "src" and np.array_equal(ragged.ids[index], value)
        assert MASK in prepared.sides["src"].ids
    assert labels == {0, 1}


def test_epochs_differ_and_repeat():
    store = random_store(40)
    processor = make_processor("bert", seq_length=32)
    one, again, other = (processor.index(store, Draw(1, e)) for e in (0, 0, 1))
    assert np.array_equal(one.start, again.start)
    assert one.start.shape != other.start.shape or not np.array_equal(one.start, other.start)


def test_short_documents_make_short_instances():
    store = store_of_lengths([[4] * 30] * 50)

    def longest(probability):
        made = make_processor("bert", seq_length=64, short_seq_prob=probability).index(
            store, Draw(1, 0)
        )
        return np.median(made.lengths())

    assert longest(0.0) > 60 > 50 > longest(1.0)


def test_over_long_sentences_are_cut_not_lost():
    store = store_of_lengths([[500], [400]])
    processor = make_processor("bert", seq_length=35)
    made = processor.index(store, Draw(1, 0))
    figures = processor.report(made, store)
    assert figures["tokens_truncated"] < 0.1 * figures["tokens"]
    assert not made.fields["random"].all()


def test_tokens_are_cut_at_both_ends():
    lengths = np.full((4000, 2), 20)
    front, left = trimmed_pairs(lengths, 30, Draw(1, 0))
    assert (left == 15).all()
    assert abs(front.mean() - 2.5) < 0.1 and front.min() == 0 and front.max() == 5


def test_random_texts_come_from_everywhere():
    store = store_of_lengths([[5, 5]] * 20)
    made = make_processor("bert", seq_length=13).index(store, Draw(1, 0))
    starts = np.concatenate(
        [
            made.start[made.fields["random"], 1]
            for made in (
                make_processor("bert", seq_length=13).index(store, Draw(1, e)) for e in range(40)
            )
        ]
    )
    assert len(made) >= 20
    assert len(np.unique(starts // 10)) == 20 and len(np.unique(starts // 5)) == 40


def test_one_document_is_an_error():
    with pytest.raises(DataError, match="at least two documents, the data holds 1; put a blank"):
        make_processor("bert", seq_length=16).index(store_of_lengths([[5, 5]]), Draw(1, 0))


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_wrong_probabilities_are_refused(probability):
    with pytest.raises(ConfigError, match=r"short_seq_prob: .* is not in \[0, 1\]"):
        make_processor("bert", seq_length=16, short_seq_prob=probability)


def test_many_random_pairs_are_reported(caplog):
    processor = make_processor("bert", seq_length=16)
    store = store_of_lengths([[5]] * 10)
    with caplog.at_level(logging.WARNING):
        figures = processor.report(processor.index(store, Draw(1, 0)), store)
    assert figures["random_next"] == 1.0
    assert "100 % of the pairs are random because many pieces of documents hold" in caplog.text
    caplog.clear()
    store = store_of_lengths([[3] * 20] * 10)
    with caplog.at_level(logging.WARNING):
        figures = processor.report(processor.index(store, Draw(1, 0)), store)
    assert figures["random_next"] < 0.6 and not caplog.text
