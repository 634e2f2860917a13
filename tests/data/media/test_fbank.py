"""Filter banks follow Kaldi's formulas, computed here anew."""

import numpy as np
import pytest

from uer.data.media.fbank import Fbank, normalized
from uer.data.media.references import MediaError


def kaldi(samples, rate, bins):
    """Kaldi's log Mel filter bank in plain numpy, in double precision."""
    x = samples.astype(np.float64) * 2**15
    window, shift = rate * 25 // 1000, rate // 100
    frames = np.stack([x[i : i + window] for i in range(0, len(x) - window + 1, shift)])
    frames -= frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames - 0.97 * before
    frames *= (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))) ** 0.85
    size = 1 << (window - 1).bit_length()
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    low, high = 1127 * np.log(1 + np.array([20, rate / 2]) / 700)
    mel = 1127 * np.log(1 + np.arange(size // 2) * rate / size / 700)
    step = (high - low) / (bins + 1)
    filters = []
    for number in range(bins):
        left, middle, right = low + step * (number + np.arange(3))
        up, down = (mel - left) / (middle - left), (right - mel) / (right - middle)
        filters.append(np.maximum(0, np.minimum(up, down)))
    energy = power[:, : size // 2] @ np.array(filters).T
    return np.log(np.maximum(energy, np.finfo(np.float32).eps))


@pytest.mark.parametrize(("rate", "bins"), [(16000, 80), (8000, 40), (16000, 128), (22050, 80)])
def test_kaldi(rate, bins):
    draw = np.random.default_rng(0)
    samples = (0.3 * np.sin(np.arange(rate) * 0.2) + draw.normal(0, 0.05, rate)).astype("f4")
    made, wanted = Fbank(rate, bins)(samples), kaldi(samples, rate, bins)
    assert made.shape == wanted.shape and made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, atol=2e-3)


def test_a_filter_between_two_frequencies_has_the_energy_of_silence():
    made = Fbank(16000, 128)(np.random.default_rng(0).normal(0, 0.1, 800).astype("f4"))
    empty = (made == np.log(np.finfo(np.float32).eps).astype("f4")).all(axis=0)
    assert empty.any() and not empty[40:].any()


def test_the_same_sound_gives_the_same_frames_also_in_silence():
    fbank, silence = Fbank(16000, 80), np.zeros(4000, "f4")
    np.testing.assert_array_equal(fbank(silence), fbank(silence))
    assert np.isfinite(fbank(silence)).all()
    assert not normalized(fbank(silence)).any()


def test_lengths_are_foretold():
    fbank = Fbank(8000, 20)
    sizes = np.array([199, 200, 279, 280, 281, 1000, 8000])
    assert fbank.length(sizes).tolist() == [0, 1, 1, 2, 2, 11, 98]
    for size, frames in zip(sizes[1:], fbank.length(sizes)[1:], strict=True):
        assert fbank(np.full(size, 0.1, "f4")).shape == (frames, 20)
    for frames in (1, 2, 98):
        most = fbank.samples(frames)
        assert fbank.length(np.array([most, most + 1])).tolist() == [frames, frames + 1]


@pytest.mark.parametrize("size", [0, 1, 199])
def test_less_than_a_frame_is_refused(size):
    with pytest.raises(MediaError, match=f"too short .{size} samples; a frame needs 200"):
        Fbank(8000, 20)(np.zeros(size, "f4"))


def test_normalised_over_the_utterance():
    frames = np.random.default_rng(0).normal(5, 3, (50, 8)).astype("f4")
    made = normalized(frames)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(made.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(normalized(frames, variances=False).std(0), frames.std(0), rtol=1e-5)
    np.testing.assert_allclose(
        normalized(frames, means=False).mean(0), frames.mean(0) / frames.std(0), rtol=1e-5
    )
