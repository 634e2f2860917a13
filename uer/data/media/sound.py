"""From the bytes of a sound to samples: one channel, one rate, no surprise.

libsndfile reads wav, flac, ogg, mp3 and some twenty formats more. What the header promises is
checked before anything is read, and reading goes by blocks, so that memory is bounded by the
longest sound that is allowed, whatever a file says of itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uer.errors import DataError, UserError

_BLOCK = 1 << 16  # values of all channels that are read at once
_LOUDEST = float(1 << 15)  # floats are meant to lie in -1 … 1; some are whole numbers of 16 bits
# Their headers only estimate how many samples follow.
_ESTIMATED = ("MP3", "MPEG")


class Measure(NamedTuple):
    """What the header of a sound says.

    Args:
        samples: of each channel.
        rate: of them in a second.
        channels: how many there are.
    """

    samples: int
    rate: int
    channels: int

    @property
    def seconds(self) -> float:
        """How long the sound is."""
        return self.samples / self.rate


def measure(content: bytes) -> Measure:
    """Read the header of a sound.

    Raises:
        DataError: this is no sound that libsndfile knows, or an empty one.
    """
    with _opened(content) as file:
        return _measured(file)


@dataclass(frozen=True)
class SoundReader:
    """Decodes sounds.

    Args:
        sampling_rate: samples of a second that the model wants; others are resampled.
        max_seconds: longer sounds are refused before they are read.
    """

    sampling_rate: int
    max_seconds: float

    def __call__(self, content: bytes) -> NDArray[np.float32]:
        """Decode a sound.

        Args:
            content: the whole file.

        Returns:
            [S] samples; channels are averaged.

        Raises:
            DataError: why it cannot be decoded.
            UserError: a package is missing.
        """
        with _opened(content) as file:
            told = _measured(file)
            if told.seconds > self.max_seconds:
                raise DataError(
                    f"lasts {told.seconds:.1f} seconds, more than the {self.max_seconds:g} allowed."
                )
            samples = _mono(file, told)
        return resample(samples, told.rate, self.sampling_rate)

    def length(self, samples: NDArray[np.int64], rates: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] samples that come out, for files of so many samples of so many a second."""
        return -(-samples * self.sampling_rate // rates)


def resample(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """[S] samples at another rate, [ceil(S * wanted / rate)].

    Everything below the lower of the two half rates stays, everything above goes.
    """
    if rate == wanted:
        return samples
    made = np.asarray(package("soxr").resample(samples, rate, wanted, "HQ"), np.float32)
    size = -(-len(samples) * wanted // rate)
    return np.pad(made[:size], (0, max(0, size - len(made))))


def package(name: str) -> ModuleType:
    """A package of the extra ``audio``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return __import__(name)
    except (ImportError, OSError) as error:
        raise UserError(
            f"sounds are read with the package {name.replace('_', '-')}, which cannot be imported "
            f"({error}); install it with pip install 'uer[audio]'."
        ) from error


class _Bytes(io.BytesIO):
    """Bytes in which nobody gets before the start, wherever a damaged header sends them."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, or to the start where it lies before it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: len(self.getbuffer())}
        return super().seek(max(0, base[whence] + offset))


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    """The sound in some bytes; what libsndfile says about it becomes our error."""
    soundfile = package("soundfile")
    try:
        with soundfile.SoundFile(_Bytes(content)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().removeprefix("Error : ").rstrip(".")
        raise DataError(f"is no sound that can be read ({reason}).") from error


def _measured(file: Any) -> Measure:
    if file.frames <= 0 or file.samplerate <= 0:
        raise DataError("holds no samples.")
    return Measure(file.frames, file.samplerate, file.channels)


def _mono(file: Any, told: Measure) -> NDArray[np.float32]:
    """[S] all samples, averaged over channels."""
    read = []
    size = max(1, _BLOCK // told.channels)
    for block in file.blocks(size, frames=told.samples, dtype="float32", always_2d=True):
        if not np.isfinite(block).all():
            raise DataError("has samples that are no numbers.")
        if (loudest := np.abs(block).max(initial=0)) > _LOUDEST:
            raise DataError(f"has samples of up to {loudest:.3g}, where 1 is full scale.")
        read.append(block.mean(axis=1))
    samples = np.concatenate(read) if read else np.zeros(0, np.float32)
    if len(samples) < told.samples and file.format not in _ESTIMATED:
        raise DataError(f"is cut off after {len(samples):,} of {told.samples:,} samples.")
    if not len(samples):
        raise DataError("holds no samples.")
    return samples
