"""From the bytes of a sound to samples: one channel, one rate, no surprise.

libsndfile reads wav, flac, ogg, mp3 and some twenty formats more. What the header promises is
checked before anything is read, and reading goes by blocks, so that memory is bounded by the
longest sound that is allowed, whatever a file says of itself.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import MediaError, Medium, real_path
from uer.errors import UserError

_BLOCK = 1 << 16  # values of all channels that are read at once
_LOUDEST = float(1 << 15)  # floats are meant to lie in -1 … 1; some are whole numbers of 16 bits
_RICHEST = 96000 * 8 * 8  # bytes of a second
# Their headers only estimate how many samples follow.
_ESTIMATED = ("MP3", "MPEG")
_FIRST_FRAME = 200  # bytes in which an MP3 may say how many frames it has
_NEARLY = 0.95  # of what it says; encoders count what they add to the ends differently
# What libsndfile notes of a file without compression that ends before its header says; it reads on
# as if it were whole. Who writes to a pipe does not know the size, and promises the most there is.
_CUT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNTOLD = 0x7FFF0000


class _Measure(NamedTuple):
    """What the header of a sound says."""

    samples: int
    rate: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def measure(medium: Medium) -> dict[str, int]:
    """What a data set notes of a sound: its ``samples`` and their ``rate``, from the header alone.

    Raises:
        MediaError: this is no sound that libsndfile knows, or an empty one.
    """
    path = real_path(medium.root, medium.reference.path)
    if path is None:
        raise MediaError("outside of the root")
    try:
        with Path(path).open("rb") as file:
            size = medium.reference.size
            size = size if size >= 0 else os.fstat(file.fileno()).st_size
            with _opened(_Stretch(file, medium.reference.start, size)) as sound:
                told = _measured(sound)
    except OSError as error:
        raise MediaError("cannot be opened", error.strerror or "") from error
    return {"samples": told.samples, "rate": told.rate}


@dataclass(frozen=True)
class SoundReader:
    """Decodes sounds.

    Args:
        sampling_rate: samples of a second that the model wants; others are resampled.
        max_seconds: longer sounds are refused before they are read.
    """

    sampling_rate: int
    max_seconds: float

    def read(self, medium: Medium) -> NDArray[np.float32]:
        """As `decode`, for a sound that lies somewhere."""
        return self.decode(medium.read(self._most_bytes()))

    def decode(self, content: bytes) -> NDArray[np.float32]:
        """Decode a sound.

        Args:
            content: the whole file.

        Returns:
            [S] samples; channels are averaged.

        Raises:
            MediaError: it cannot be decoded.
            UserError: a package is missing.
        """
        with _opened(_Stretch(io.BytesIO(content), 0, len(content))) as file:
            told = _measured(file)
            if told.seconds > self.max_seconds:
                detail = f"{told.seconds:.1f} seconds; at most {self.max_seconds:g}"
                raise MediaError("too long", detail)
            least, most = told.samples, told.samples
            if file.format in _ESTIMATED:
                least = int(_NEARLY * told.samples) if _is_counted(content) else 0
                most = int(self.max_seconds * told.rate) + 1
            samples = _mono(file, told, least, most)
            if len(samples) > self.max_seconds * told.rate:
                raise MediaError("too long", f"more than {self.max_seconds:g} seconds")
        return resample(samples, told.rate, self.sampling_rate)

    def _most_bytes(self) -> int:
        """A generous bound: surround sound in double precision, and pictures of the cover."""
        return int(self.max_seconds * _RICHEST) + (16 << 20)

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


class _Stretch:
    """A stretch of a file, as libsndfile reads it.

    Nobody gets out of it, wherever a damaged header sends them.

    Args:
        file: holds it.
        start: its first byte there.
        size: its bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = min(max(0, base + offset), self._size)
        return self._at

    def tell(self) -> int:
        """The present place."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        left = self._size - self._at
        self._file.seek(self._start + self._at)
        content = self._file.read(left if size < 0 else min(size, left))
        self._at += len(content)
        return content


@contextmanager
def _opened(stretch: _Stretch) -> Iterator[Any]:
    """The sound in a stretch; what libsndfile says about it becomes our error."""
    soundfile = package("soundfile")
    try:
        with soundfile.SoundFile(stretch) as file:
            yield file
    except soundfile.LibsndfileError as error:
        detail = error.error_string.strip().removeprefix("Error : ").rstrip(".")
        raise MediaError("no sound that can be read", detail) from error


def _measured(file: Any) -> _Measure:
    if file.frames <= 0 or file.samplerate <= 0:
        raise MediaError("no samples")
    for promised, there in map(_numbers, _CUT.findall(file.extra_info)):
        if there < promised < _UNTOLD:
            raise MediaError("truncated", f"{there:,} of {promised:,} bytes")
    return _Measure(file.frames, file.samplerate, file.channels)


def _numbers(found: tuple[str, str]) -> tuple[int, int]:
    return int(found[0]), int(found[1])


def _mono(file: Any, told: _Measure, least: int, most: int) -> NDArray[np.float32]:
    """[S] all samples, averaged over channels.

    Args:
        file: the sound.
        told: what its header says.
        least: fewer samples are too few.
        most: no more are read.
    """
    read, left = [], most
    size = max(1, _BLOCK // told.channels)
    while left:
        # Not `blocks`: behind the end of the file that repeats what it read before.
        block = file.read(min(size, left), dtype="float32", always_2d=True)
        if not len(block):
            break
        if not np.isfinite(block).all():
            raise MediaError("samples that are no numbers")
        if (loudest := np.abs(block).max(initial=0)) > _LOUDEST:
            raise MediaError("samples beyond all scales", f"up to {loudest:.3g}")
        read.append(block.mean(axis=1))
        left -= len(block)
    samples = np.concatenate(read) if read else np.zeros(0, np.float32)
    if len(samples) < least:
        raise MediaError("truncated", f"{len(samples):,} of {told.samples:,} samples")
    if not len(samples):
        raise MediaError("no samples")
    return samples


def _is_counted(content: bytes) -> bool:
    """Whether the first frame of an MP3 holds nothing but how many there are (Xing, LAME)."""
    start = 0
    if content[:3] == b"ID3":  # tags in front; their size has 7 bits in each of 4 bytes
        start = 10 + sum(byte << 7 * place for place, byte in enumerate(content[9:5:-1]))
    frame = content[start : start + _FIRST_FRAME]
    return b"Xing" in frame or b"Info" in frame
