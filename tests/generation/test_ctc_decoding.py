"""CTC texts against all alignments, one by one."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from uer.generation.ctc import greedy, prefix_beam

BLANK = 0


def random_chances(frames, vocab, seed):
    logits = np.random.default_rng(seed).normal(0, 1.5, (frames, vocab))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype("f4")


def text_of(alignment):
    return tuple(token for token, _ in itertools.groupby(alignment) if token != BLANK)


def all_texts(chances):
    """The log-probability of every text, summed over its alignments."""
    found = defaultdict(lambda: -np.inf)
    frames, vocab = chances.shape
    for alignment in itertools.product(range(vocab), repeat=frames):
        chance = chances[np.arange(frames), alignment].sum(dtype=np.float64)
        found[text_of(alignment)] = np.logaddexp(found[text_of(alignment)], chance)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_sums_all_alignments(seed):
    chances = random_chances(5, 4, seed)
    wanted = all_texts(chances)
    found = prefix_beam(chances, BLANK, beam_width=2000)
    assert {tuple(text): chance for text, chance in found} == pytest.approx(dict(wanted), abs=1e-5)
    assert tuple(found[0][0]) == max(wanted, key=wanted.get)


def test_a_narrow_beam_finds_nothing_better_than_there_is():
    chances = random_chances(6, 3, 9)
    wanted = all_texts(chances)
    text, chance = prefix_beam(chances, BLANK, beam_width=3)[0]
    assert chance <= wanted[tuple(text)] + 1e-6
    assert chance > max(wanted.values()) - 0.5


def test_the_blank_may_be_any_id():
    chances = random_chances(5, 4, 1)
    moved = chances[:, [1, 2, 3, 0]]  # the blank goes to the end
    texts = [[token - 1 for token in text] for text, _ in prefix_beam(chances, 0, 50)]
    assert texts == [text for text, _ in prefix_beam(moved, 3, 50)]


@pytest.mark.parametrize(
    ("alignment", "text"),
    [([0, 1, 1, 0, 1, 2, 2], [1, 1, 2]), ([0, 0], []), ([3, 3, 3], [3]), ([1, 0, 0, 1], [1, 1])],
)
def test_greedy_takes_repetitions_and_blanks_out(alignment, text):
    chances = np.log(np.eye(4, dtype="f4")[alignment] * 0.9 + 0.025)
    assert greedy(chances, BLANK) == text
    assert prefix_beam(chances, BLANK, 4)[0][0] == text


def test_no_frame_gives_no_text():
    nothing = np.zeros((0, 4), "f4")
    assert greedy(nothing, BLANK) == [] and prefix_beam(nothing, BLANK, 2) == [([], 0.0)]
