"""Mixed images and labels, counted by hand."""

import numpy as np
import pytest

from uer.data.media.mixing import mix_images
from uer.data.randomness import Draw


def mixed(number, *, labels=None, mixup=0.0, cutmix=0.0):
    """Images of one value each, which is their number: what is seen of whom can be counted."""
    images = np.zeros((4, 1, 20, 20), np.float32) + np.arange(4)[:, None, None, None]
    labels = np.arange(4) if labels is None else labels
    return mix_images(
        images.astype(np.float32),
        labels,
        classes=4,
        mixup=mixup,
        cutmix=cutmix,
        draw=Draw(1, 0),
        number=number,
    )


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("way", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_are_what_is_seen(number, way):
    images, labels = mixed(number, **way)
    assert labels.dtype == images.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    # The mean value of a picture is the mean of the classes that it shows.
    np.testing.assert_allclose(images.mean((1, 2, 3)), labels @ np.arange(4), rtol=1e-5)
    assert (labels[0, 1], labels[0, 2]) == (0, 0)  # mixed with the last one only


def test_cutmix_pastes_a_rectangle():
    images, labels = mixed(2, cutmix=1.0)
    foreign = images[0, 0] == 3
    rows, columns = np.flatnonzero(foreign.any(1)), np.flatnonzero(foreign.any(0))
    assert foreign.sum() == len(rows) * len(columns) == round(400 * labels[0, 3])
    assert set(np.unique(images[0])) <= {0, 3}


def test_both_ways_occur_and_are_drawn_alike_again():
    ways = [set(np.unique(mixed(n, mixup=0.8, cutmix=1.0)[0][0])) <= {0.0, 3.0} for n in range(30)]
    assert 5 < sum(ways) < 25
    one, two = mixed(7, mixup=0.8), mixed(7, mixup=0.8)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_soft_labels_are_mixed_too():
    soft = np.full((4, 4), 0.25, np.float32)
    assert np.allclose(mixed(1, labels=soft, mixup=0.5)[1], 0.25)
