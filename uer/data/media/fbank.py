"""Acoustic frames: Kaldi's log Mel filter banks, and their normalisation over an utterance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from uer.data.media.references import MediaError
from uer.data.media.sound import package

_WINDOW, _SHIFT = 0.025, 0.010  # seconds
_FULL_SCALE = 1 << 15  # Kaldi computes on whole numbers of 16 bits
_LEAST_VARIANCE = 1e-10
# Kaldi's defaults
_LOWEST, _PREEMPHASIS, _POVEY = 20.0, 0.97, 0.85
_SILENCE = float(np.finfo(np.float32).eps)


class Fbank:
    """Log Mel filter banks with Kaldi's defaults: windows of 25 ms every 10 ms, no dither.

    kaldi-native-fbank computes them. It refuses banks so fine that some filter lies between two
    frequencies of the spectrum (128 filters at 16 kHz, as in SSAST); those are computed here by the
    same formulas, and an empty filter has the energy of silence.

    Args:
        sampling_rate: samples of a second.
        bins: filters, M.
    """

    def __init__(self, sampling_rate: int, bins: int) -> None:
        self.sampling_rate, self.bins = sampling_rate, bins
        self.window, self.shift = int(sampling_rate * _WINDOW), int(sampling_rate * _SHIFT)
        filters = _filters(sampling_rate, bins, _padded(self.window))
        self._filters = None if filters.any(axis=0).all() else filters

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """[S] samples in -1 … 1 become [F, M] frames.

        Raises:
            MediaError: the sound is shorter than a window.
        """
        if len(samples) < self.window:
            detail = f"{len(samples)} samples; a frame needs {self.window}"
            raise MediaError("too short", detail)
        if self._filters is not None:
            power = _power(samples * _FULL_SCALE, self.window, self.shift)
            return np.log(np.maximum(power @ self._filters, _SILENCE)).astype(np.float32)
        made = package("kaldi_native_fbank").OnlineFbank(self._options())
        made.accept_waveform(self.sampling_rate, (samples * _FULL_SCALE).tolist())
        made.input_finished()
        return np.stack([made.get_frame(number) for number in range(made.num_frames_ready)])

    def length(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] frames of sounds of so many samples: windows that lie inside."""
        return np.maximum(0, (samples - self.window) // self.shift + 1)

    def samples(self, frames: int) -> int:
        """The most samples of which so many frames are made."""
        return frames * self.shift + self.window - 1

    def _options(self) -> Any:
        options = package("kaldi_native_fbank").FbankOptions()
        options.frame_opts.samp_freq = self.sampling_rate
        options.frame_opts.dither = 0.0  # noise would make features differ from call to call
        options.mel_opts.num_bins = self.bins
        return options


def _padded(window: int) -> int:
    """Points of the Fourier transform: the next power of two."""
    return 1 << (window - 1).bit_length()


def _filters(rate: int, bins: int, points: int) -> NDArray[np.float64]:
    """[points / 2, M] triangles that overlap by half, equally spaced on the Mel scale."""
    low, high = _mel(np.array([_LOWEST, rate / 2]))
    step = (high - low) / (bins + 1)
    left = low + step * np.arange(bins)
    rise = (_mel(np.arange(points // 2) * rate / points)[:, None] - left) / step
    return np.maximum(0, np.minimum(rise, 2 - rise))


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127 * np.log(1 + hertz / 700)


def _power(samples: NDArray[np.float32], window: int, shift: int) -> NDArray[np.float64]:
    """[F, points / 2] power spectra of windows without their mean, high frequencies raised."""
    frames = sliding_window_view(samples.astype(np.float64), window)[::shift]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames -= _PREEMPHASIS * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames *= np.hanning(window) ** _POVEY
    return np.abs(np.fft.rfft(frames, _padded(window))[:, :-1]) ** 2


def normalized(
    frames: NDArray[np.float32], *, means: bool = True, variances: bool = True
) -> NDArray[np.float32]:
    """[F, M] frames of an utterance with mean 0 and variance 1 in every bin (CMVN)."""
    wide = frames.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    if variances:
        scale = 1 / np.sqrt(np.maximum(centred.var(axis=0), _LEAST_VARIANCE))
        wide, centred = wide * scale, centred * scale
    return (centred if means else wide).astype(np.float32)
