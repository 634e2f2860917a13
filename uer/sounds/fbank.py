"""Log Mel filter banks, as Kaldi computes them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from uer.data.media.fbank import Fbank, normalized
from uer.data.media.references import Medium
from uer.data.media.sound import SoundReader
from uer.data.media.specaugment import SpecAugment, require_specaugment, specaugment
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import AudioFeatureSize
from uer.sounds.base import SamplingRate, Sounds

Step = Literal["normalize_means", "normalize_vars", "ceptral_normalize"]
_ALL: tuple[Step, ...] = ("normalize_means", "normalize_vars", "ceptral_normalize")


class FilterBanks(Sounds):
    """Frames of 25 ms every 10 ms, normalised over the utterance; in training with SpecAugment."""

    field: ClassVar[str] = "frames"
    unit: ClassVar[str] = "frames"

    def __init__(
        self,
        *,
        sampling_rate: SamplingRate = 16000,
        audio_feature_size: AudioFeatureSize = 80,
        audio_preprocess: Annotated[
            list[Step],
            "ceptral_normalize: frames are normalised over the utterance, to mean 0 with "
            "normalize_means and to variance 1 with normalize_vars",
        ] = _ALL,  # type: ignore[assignment]
        max_audio_frames: Annotated[int, "longer sounds are left out"] = 6000,
        specaugment: Annotated[
            SpecAugment | None, "what training hides of frames, by the letters of SpecAugment"
        ] = None,
    ) -> None:
        numbers = {
            "sampling_rate": (sampling_rate, 1000),
            "audio_feature_size": (audio_feature_size, 1),
            "max_audio_frames": (max_audio_frames, 1),
        }
        if problems := [
            f"{key}: {value} is less than {least}."
            for key, (value, least) in numbers.items()
            if value < least
        ]:
            raise ConfigError(problems)
        if specaugment is not None:
            require_specaugment(specaugment)
        self.longest = max_audio_frames
        self.specaugment = specaugment
        self.steps = set(audio_preprocess)
        self.fbank = Fbank(sampling_rate, audio_feature_size)
        self.reader = SoundReader(
            sampling_rate, self.fbank.samples(max_audio_frames) / sampling_rate
        )

    def __call__(self, medium: Medium, draw: Draw, number: int) -> NDArray[np.float32]:
        """See `Sounds.__call__`."""
        frames = self.fbank(self.reader.read(medium))
        if "ceptral_normalize" not in self.steps:
            return frames
        return normalized(
            frames,
            means="normalize_means" in self.steps,
            variances="normalize_vars" in self.steps,
        )

    def lengths(self, samples: NDArray[np.int64], rates: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] frames."""
        return self.fbank.length(self.reader.length(samples, rates))

    def augment(self, made: NDArray[np.float32], draw: Draw, number: int) -> NDArray[np.float32]:
        """See `Sounds.augment`: stretches of time and frequency are hidden."""
        if self.specaugment is None:
            return made
        return specaugment(made, self.specaugment, draw, number)
