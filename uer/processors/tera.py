"""Altered frames to be restored (TERA, https://arxiv.org/abs/2007.06028)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.maskings.base import require
from uer.processors._media import Decoded
from uer.processors._sound import Crop, SoundProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default
from uer.sounds.base import Sounds

_ZERO, _OTHER = 0.8, 0.1  # of the stretches; the rest stays as it is
_NOISE_DEVIATION = 0.2


class Tera(SoundProcessor):
    """Frames that are altered in time, in frequency and in magnitude; what they were is asked.

    Stretches of frames become zero (80 %), frames from elsewhere in the sound (10 %) or stay
    (10 %). A band of filters of random width becomes zero. Some sounds get Gaussian noise. Frames
    that were chosen in any of these ways are to be restored.
    """

    corpus: ClassVar[str] = "sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.frames", "labels.frames"})

    def __init__(
        self,
        *,
        sounds: Sounds = default("fbank"),
        crop: Crop = 1500,
        time_alteration: Annotated[float, "share of a sound's frames in altered stretches"] = 0.15,
        time_alteration_length: Annotated[int, "frames of an altered stretch"] = 7,
        frequency_alteration: Annotated[float, "most filters set to zero, as a share of all"] = 0.2,
        magnitude_alteration: Annotated[float, "share of the sounds that get noise"] = 0.15,
    ) -> None:
        shares = {
            "time_alteration": time_alteration,
            "frequency_alteration": frequency_alteration,
            "magnitude_alteration": magnitude_alteration,
        }
        require(
            *(
                (0 <= value <= 1, f"{key}: {value} is not in [0, 1].")
                for key, value in shares.items()
            ),
            (time_alteration_length >= 1, "time_alteration_length: it is less than 1."),
            (sounds.field == "frames", "sounds: 'tera' alters frames; choose fbank."),
        )
        self.time, self.length = time_alteration, time_alteration_length
        self.frequency, self.magnitude = frequency_alteration, magnitude_alteration
        self.set_up(sounds, crop)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Alter the frames; what they were are the labels."""
        heard, length = self.heard(decoded.arrays)
        clean = list(heard["src.frames"])
        altered = [
            self._altered(frames, draw, number)
            for frames, number in zip(clean, decoded.which.tolist(), strict=True)
        ]
        places = [np.flatnonzero(chosen) for _, chosen in altered]
        labels = PatchLabels(
            np.repeat(np.arange(len(clean)), [len(place) for place in places]),
            np.concatenate(places),
            length,
            value=np.concatenate([row[place] for row, place in zip(clean, places, strict=True)]),
        )
        arrays = {**heard, "src.frames": [frames for frames, _ in altered]}
        return Prepared({}, arrays=arrays, patch_labels={"frames": labels})

    def _altered(
        self, frames: NDArray[np.float32], draw: Draw, number: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """[F, M] altered frames, and [F] which are to be restored; one at least is."""
        made, (size, filters) = frames.copy(), frames.shape
        chosen = np.zeros(size, np.bool_)
        length = min(self.length, size)
        starts = size - length + 1
        luck = draw.uniform("alteration", number, np.arange(4))
        count = min(starts, int(self.time * size / length + luck[0]))
        order = np.argsort(draw.bits("altered stretches", number, np.arange(starts)), kind="stable")
        fate = draw.uniform("fate of stretches", number, np.arange(count))
        source = draw.integers("source of stretches", number, starts, np.arange(count))
        for first, what, other in zip(order[:count], fate, source, strict=True):
            stretch = slice(first, first + length)
            chosen[stretch] = True
            if what < _ZERO:
                made[stretch] = 0
            elif what < _ZERO + _OTHER:
                made[stretch] = frames[other : other + length]
        width = int(luck[1] * (int(self.frequency * filters) + 1))
        lowest = int(luck[2] * (filters - width + 1))
        made[:, lowest : lowest + width] = 0
        noisy = luck[3] < self.magnitude
        if noisy:
            noise = np.random.default_rng(int(draw.bits("noise", number)[0]))
            made += noise.normal(0, _NOISE_DEVIATION, made.shape).astype(np.float32)
        return made, chosen | bool(width) | noisy | (not chosen.any())
