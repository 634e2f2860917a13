from dataclasses import replace

import numpy as np
import pytest
from fake_store import MASK, SPECIAL, VOCAB, make_processor, random_store, store_of
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.builder import build
from uer.data.ragged import gather
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.maskings.base import Candidates, Masking

DRAW = Draw(7, 0)
MODES = ("token", "span", "word", "ngram", "block")


def masking(mode="token", **changes):
    facts = {"mask_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL}
    return build(Masking, mode, **{**facts, **changes})


def written(which, seq_length=64, documents=200):
    store = random_store(documents)
    made = make_processor("mlm", seq_length=seq_length).index(store, DRAW)
    return gather(store.sides["src"], made, np.asarray(which) % len(made))


MANY = written(range(300))


@pytest.mark.parametrize("mode", MODES)
@given(
    rate=st.floats(0.01, 1),
    seed=st.integers(0, 99),
    which=st.lists(st.integers(0, 300), min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_masked_can_be_undone_and_touches_nothing_else(mode, rate, seed, which):
    ragged = written(which)
    masked = masking(mode, mask_rate=rate)(ragged, Draw(seed, 0))
    assert np.array_equal(ragged.ids[masked.place], masked.value)
    undone = masked.ids.copy()
    undone[masked.place] = masked.value
    assert np.array_equal(undone, ragged.ids)
    assert (np.diff(masked.place) > 0).all()
    assert not ragged.special[masked.place].any()
    changed = masked.ids[masked.place]
    assert not np.isin(changed[changed != MASK], SPECIAL).any()


@pytest.mark.parametrize("mode", ["token", "span", "block"])
@pytest.mark.parametrize("rate", [0.001, 0.15, 0.5, 1.0])
def test_the_share_is_exact(mode, rate):
    masked = masking(mode, mask_rate=rate)(MANY, DRAW)
    candidates = np.bincount(MANY.owners()[~MANY.special])
    chosen = np.bincount(MANY.owners()[masked.place], minlength=len(MANY))
    assert chosen.tolist() == [max(1, round(rate * n)) for n in candidates]


def test_whole_words_come_near_to_the_share():
    masked = masking("word")(MANY, DRAW)
    owners = MANY.owners()
    candidates = np.bincount(owners[~MANY.special])
    chosen = np.bincount(owners[masked.place], minlength=len(MANY))
    assert chosen.min() >= 1
    heads = np.flatnonzero(MANY.word_start | MANY.special | (MANY.positions() == 1))
    sizes = np.diff(np.append(heads, len(MANY.ids)))
    longest = np.zeros(len(MANY), np.int64)
    np.maximum.at(longest, owners[heads], sizes)
    assert (np.abs(chosen - np.maximum(1, 0.15 * candidates)) <= longest / 2 + 1).sum() >= 295
    assert abs(chosen.sum() / candidates.sum() - 0.15) < 0.02


def test_words_are_chosen_whole():
    chosen = np.zeros(len(MANY.ids), np.bool_)
    chosen[masking("word")(MANY, DRAW).place] = True
    inside = ~MANY.word_start & ~MANY.special & (MANY.positions() > 1)
    for at in np.flatnonzero(inside):
        assert chosen[at] == chosen[at - 1]


def test_a_word_cut_by_the_border_of_its_piece_does_not_join_the_one_before():
    # Every token continues a word, so an instance is one word and is masked altogether.
    ragged = replace(MANY, word_start=MANY.special.copy())
    masked = masking("word")(ragged, DRAW)
    assert len(masked.place) == (~ragged.special).sum()


def test_the_ways_have_their_shares():
    masked = masking(mask_rate=1.0)(MANY, DRAW)
    now = masked.ids[masked.place]
    share_masked, share_kept = (now == MASK).mean(), (now == masked.value).mean()
    assert abs(share_masked - 0.8) < 0.02
    assert abs(share_kept - 0.1 - 0.1 / (VOCAB - len(SPECIAL))) < 0.02
    replaced = now[(now != MASK) & (now != masked.value)]
    assert set(replaced.tolist()) == set(range(len(SPECIAL), VOCAB))


@pytest.mark.parametrize(
    ("split", "allowed"),
    [((1, 0, 0), lambda now, was: now == MASK), ((0, 0, 1), lambda now, was: now == was)],
)
def test_one_way_only(split, allowed):
    masked = masking(mask_split=split)(MANY, DRAW)
    assert allowed(masked.ids[masked.place], masked.value).all()


def runs(masked):
    """Lengths of the stretches of neighbouring places that are masked."""
    ends = np.flatnonzero(np.diff(masked.place) > 1)
    return np.diff(np.concatenate([[-1], ends, [len(masked.place) - 1]]))


def test_spans_are_longer_than_tokens():
    one_way = {"mask_split": (1.0, 0.0, 0.0)}
    lengths = [
        runs(masking(mode, **one_way, **changes)(MANY, DRAW)).mean()
        for mode, changes in (
            ("token", {}),
            ("span", {"span_max_length": 2}),
            ("span", {"span_max_length": 10}),
        )
    ]
    assert lengths[0] + 0.3 < lengths[1] < lengths[2] - 0.3


def test_span_lengths_are_geometric_and_cut():
    rule = masking("span", span_geo_prob=0.3, span_max_length=4)
    ragged = written(range(300), seq_length=256)
    place = np.flatnonzero(~ragged.special)
    row = ragged.owners()[place]
    some = Candidates(place, row, ragged.which[row], place - ragged.offsets[row])
    lengths = np.unique(rule.leaders(some, ragged, DRAW), return_counts=True)[1]
    assert lengths.max() == 4
    shares = np.bincount(lengths)[1:] / len(lengths)
    expected = np.array([0.3, 0.3 * 0.7, 0.3 * 0.49, 0.7**3])
    assert np.abs(shares - expected).max() < 0.03


def test_a_span_is_masked_in_one_way():
    rule = masking("span", mask_rate=1.0, span_geo_prob=1e-9, span_max_length=1000)
    masked = rule(MANY, DRAW)
    owners = MANY.owners()[masked.place]
    for row in range(len(MANY)):
        now, was = masked.ids[masked.place[owners == row]], masked.value[owners == row]
        assert (now == MASK).all() or not (now == MASK).any()
        assert (now == was).all() or (now == was).mean() < 0.5


@pytest.mark.parametrize("mode", MODES)
def test_an_instance_alone_is_masked_as_in_any_batch(mode):
    rule = masking(mode)
    together, owners = rule(MANY, DRAW), MANY.owners()
    for i in (0, 7, 299):
        alone = rule(written([i]), DRAW)
        part = slice(MANY.offsets[i], MANY.offsets[i + 1])
        assert np.array_equal(alone.ids, together.ids[part])
        assert np.array_equal(alone.value, together.value[owners[together.place] == i])


def test_epochs_and_seeds_differ_and_repeat():
    rule = masking()
    first = rule(MANY, Draw(7, 0))
    assert np.array_equal(first.ids, rule(MANY, Draw(7, 0)).ids)
    for other in (Draw(7, 1), Draw(8, 0)):
        shared = np.intersect1d(first.place, rule(MANY, other).place)
        assert len(shared) < 0.3 * len(first.place)  # 15 % by chance


def test_all_places_are_equally_likely():
    ragged = replace(written([0] * 3000), which=np.arange(3000))
    hits = np.bincount(ragged.positions()[masking()(ragged, DRAW).place])
    size = int(ragged.lengths()[0])
    share = max(1, round(0.15 * (size - 2))) / (size - 2)
    assert np.abs(hits[1 : size - 1] / 3000 - share).max() < 0.04


@pytest.mark.parametrize("mode", MODES)
def test_instances_without_candidates_have_no_labels(mode):
    ragged = replace(written([0, 1, 2]), loss=np.zeros(len(written([0, 1, 2]).ids), np.bool_))
    masked = masking(mode)(ragged, DRAW)
    assert len(masked.place) == len(masked.value) == 0
    assert np.array_equal(masked.ids, ragged.ids)
    # … also when only some of them have none
    loss = ragged.loss.copy()
    loss[ragged.offsets[2] + 1] = True
    assert masking(mode)(replace(ragged, loss=loss), DRAW).place.tolist() == [ragged.offsets[2] + 1]


@pytest.mark.parametrize(
    ("mode", "changes", "sentence"),
    [
        ("token", {"mask_rate": 0.0}, r"mask_rate: 0.0 is not in \(0, 1\]"),
        ("token", {"mask_rate": 1.5}, r"mask_rate: 1.5 is not in"),
        (
            "token",
            {"mask_split": (0.8, 0.1, 0.2)},
            r"mask_split: \(0.8, 0.1, 0.2\) are not three shares",
        ),
        ("token", {"mask_split": (1.5, -0.5, 0.0)}, "mask_split"),
        ("span", {"span_geo_prob": 0.0}, r"span_geo_prob: 0.0 is not in \(0, 1\]"),
        ("ngram", {"ngram_max_length": 0}, "ngram_max_length: 0 is not positive"),
        ("span", {"span_max_length": 0}, "span_max_length: 0 is not positive"),
        (
            "token",
            {"special_ids": tuple(range(VOCAB))},
            "all 100 tokens of the vocabulary are special",
        ),
    ],
)
def test_wrong_settings_are_refused(mode, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        masking(mode, **changes)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        masking(mask_rate=2.0, mask_split=(1.0, 1.0, 1.0))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(("rate", "block"), [(0.15, 16), (0.4, 10), (0.15, 64)])
def test_a_block_has_one_stretch(rate, block):
    masked = masking("block", mask_rate=rate, mask_block=block)(MANY, DRAW)
    number = np.cumsum(~MANY.special) - 1  # of the tokens that may be predicted, in the batch
    owner = MANY.owners()
    counts = np.bincount(owner[~MANY.special])
    starts = np.cumsum(counts) - counts
    inside = number[masked.place] - starts[owner[masked.place]]
    key = owner[masked.place] * 1000 + inside // block
    shift = set()
    for one in np.unique(key):
        places = inside[key == one]
        assert (np.diff(places) == 1).all()
        shift.add(int(places[0]) % block)
        whole = (one % 1000 + 1) * block <= counts[one // 1000]
        assert not whole or abs(len(places) - rate * block) < 1.01
    assert len(shift) > block // 2


def test_a_block_holds_a_token_at_least():
    with pytest.raises(ConfigError, match="mask_block: 0 must be at least 1"):
        masking("block", mask_block=0)


def test_ngrams_are_chosen_whole_and_short_ones_more_often():
    tokens = [6 + 2 * n for n in range(45)]  # every token is a word
    store = store_of([[tokens]] * 3000)
    made = make_processor("mlm", seq_length=64).index(store, DRAW)
    ragged = gather(store.sides["src"], made, np.arange(3000))
    rule = masking("ngram", mask_rate=0.02, ngram_max_length=3)
    place = np.flatnonzero(~ragged.special)
    row = ragged.owners()[place]
    some = Candidates(place, row, ragged.which[row], place - ragged.offsets[row])
    leader = rule.leaders(some, ragged, DRAW)
    assert (leader <= np.arange(len(leader))).all() and (row[leader] == row).all()
    sizes = np.bincount(np.unique(leader, return_counts=True)[1], minlength=4)
    share = sizes[1:] / sizes.sum()
    # The last n-gram of a text is cut, so the chances 6/11, 3/11, 2/11 are not quite met.
    assert np.abs(share - np.array([6, 3, 2]) / 11).max() < 0.03
    # 2 % of 45 words is one: a single n-gram is masked, whatever its length.
    chosen = np.bincount(ragged.owners()[rule(ragged, DRAW).place])
    assert set(chosen.tolist()) == {1, 2, 3}


def test_ngrams_are_of_whole_words():
    masked = masking("ngram")(MANY, DRAW)
    chosen = np.zeros(len(MANY.ids), np.bool_)
    chosen[masked.place] = True
    inside = np.flatnonzero(~MANY.word_start & ~MANY.special & (MANY.positions() > 1))
    assert (chosen[inside] == chosen[inside - 1]).all()
