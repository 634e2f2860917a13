"""SpecAugment hides what it is told to, the same for the same instance."""

import numpy as np
import pytest

from uer.config import decode
from uer.data.media.specaugment import SpecAugment, require_specaugment, specaugment
from uer.data.randomness import Draw
from uer.errors import ConfigError

FRAMES = np.random.default_rng(0).normal(0, 1, (200, 80)).astype("f4")
PREDECESSORS = {"freq_mask_F": 27, "freq_mask_N": 2, "time_mask_N": 2, "time_mask_T": 100}


def hidden(chosen, instance=0, frames=FRAMES):
    made = specaugment(frames, chosen, Draw(1, 0), instance)
    changed = made != frames
    assert np.all(made[changed] == frames.mean())
    return changed


def test_a_dictionary_of_the_predecessors_is_read():
    chosen = decode(SpecAugment, {**PREDECESSORS, "time_mask_p": 1.0, "time_warp_W": 0})
    assert chosen == SpecAugment(27, 2, 100, 2, 1.0, 0)
    with pytest.raises(ValueError, match="freq_mask_X"):
        decode(SpecAugment, {"freq_mask_X": 27})


def test_widths_go_from_nothing_to_the_widest_and_places_everywhere():
    bins, frames = np.zeros(80, int), np.zeros(200, int)
    widths = set()
    for instance in range(600):
        changed = hidden(SpecAugment(freq_mask_F=5, freq_mask_N=1), instance)
        widths.add(int(changed[0].sum()))
        assert (changed == changed[0]).all()
        bins += changed[0]
        changed = hidden(SpecAugment(time_mask_T=30, time_mask_N=2), instance)
        assert (changed == changed[:, :1]).all()
        frames += changed[:, 0]
    assert widths == {0, 1, 2, 3, 4, 5}
    assert bins.min() > 0 and frames.min() > 0
    assert abs(frames.sum() / 600 - 30) < 3  # two of 15 on average, seldom overlapping


def test_a_share_bounds_time_masks_of_short_utterances():
    chosen = SpecAugment(time_mask_T=100, time_mask_N=1, time_mask_p=0.25)
    widths = [hidden(chosen, i, FRAMES[:40])[:, 0].sum() for i in range(200)]
    assert max(widths) == 10


def test_randomness_is_that_of_the_instance():
    chosen = SpecAugment(**PREDECESSORS)
    first = hidden(chosen, 3)
    assert (first == hidden(chosen, 3)).all() and (first != hidden(chosen, 4)).any()
    later = specaugment(FRAMES, chosen, Draw(1, 1), 3) != FRAMES
    assert (first != later).any()


def test_nothing_chosen_hides_nothing():
    assert not hidden(SpecAugment()).any()


def test_impossible_values_are_refused_together():
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*time_mask_p: 1.5.*time_warp_W: 80"):
        require_specaugment(SpecAugment(time_mask_p=1.5, time_warp_W=80))
    with pytest.raises(ConfigError, match="freq_mask_F: -1 is negative"):
        require_specaugment(SpecAugment(freq_mask_F=-1))
    require_specaugment(SpecAugment(**PREDECESSORS))
