"""Samples as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import Medium
from uer.data.media.sound import SoundReader
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.sounds.base import SamplingRate, Sounds

_LEAST_VARIANCE = 1e-7


class Wave(Sounds):
    """Samples in -1 … 1, or with mean 0 and variance 1 over the utterance (wav2vec 2.0)."""

    field: ClassVar[str] = "wave"
    unit: ClassVar[str] = "samples"

    def __init__(
        self,
        *,
        sampling_rate: SamplingRate = 16000,
        normalize_wave: Annotated[
            bool, "samples are normalised over the utterance to mean 0 and variance 1"
        ] = True,
        max_audio_seconds: Annotated[float, "longer sounds are left out"] = 60.0,
    ) -> None:
        if sampling_rate < 1 or not max_audio_seconds > 0:
            raise ConfigError(["sampling_rate and max_audio_seconds must be positive."])
        self.normalize = normalize_wave
        self.longest = int(max_audio_seconds * sampling_rate)
        self.reader = SoundReader(sampling_rate, max_audio_seconds)

    def __call__(self, medium: Medium, draw: Draw, number: int) -> NDArray[np.float32]:
        """See `Sounds.__call__`."""
        samples = self.reader.read(medium)
        if not self.normalize:
            return samples
        scale = np.sqrt(samples.var(dtype=np.float64) + _LEAST_VARIANCE)
        return ((samples - samples.mean(dtype=np.float64)) / scale).astype(np.float32)

    def lengths(self, samples: NDArray[np.int64], rates: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] samples."""
        return self.reader.length(samples, rates)
