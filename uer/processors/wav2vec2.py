"""Masked frames among distractors (wav2vec 2.0, https://arxiv.org/abs/2006.11477)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np

from uer.data.instances import Instances, Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.frames import KERNEL_SIZES
from uer.glossary import ConvKernelSizes, ConvStrides
from uer.processors._masked_frames import FrontEnd, MaskLength, MaskProb, Spans
from uer.processors._media import Decoded
from uer.processors._sound import Crop, SoundProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default
from uer.sounds.base import Sounds


class Wav2Vec2(SoundProcessor):
    """Sounds of which stretches are masked behind the front end.

    Which frame was masked has to be told from distractors: other masked frames of the same sound.
    """

    corpus: ClassVar[str] = "sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.wave", "src.masked", "labels.wav2vec2"})

    def __init__(
        self,
        *,
        sounds: Sounds = default("wave"),
        crop: Crop = 250_000,
        mask_time_prob: MaskProb = 0.65,
        mask_time_length: MaskLength = 10,
        negatives_num: Annotated[int, "distractors of each masked frame"] = 100,
        conv_kernel_sizes: ConvKernelSizes = KERNEL_SIZES,  # type: ignore[assignment]
        conv_strides: ConvStrides = None,
    ) -> None:
        if negatives_num < 1:
            raise ConfigError([f"negatives_num: {negatives_num} is less than 1."])
        self.front_end = FrontEnd(conv_kernel_sizes, conv_strides)
        self.spans = Spans.checked(mask_time_prob, mask_time_length)
        self.negatives = negatives_num
        self.set_up(sounds, crop)
        sounds.shortest = max(sounds.shortest, self.front_end.samples(3))

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Mask stretches and draw distractors."""
        heard, length = self.heard(decoded.arrays)
        counts = self.front_end.frames(length)
        masked = [
            self.spans.masked(frames, draw, number)
            for frames, number in zip(counts.tolist(), decoded.which.tolist(), strict=True)
        ]
        places = [np.flatnonzero(row) for row in masked]
        negative = [
            self._distractors(place, draw, number)
            for place, number in zip(places, decoded.which.tolist(), strict=True)
        ]
        labels = PatchLabels(
            np.repeat(np.arange(len(places)), [len(place) for place in places]),
            np.concatenate(places),
            counts,
            negative=np.concatenate(negative),
        )
        return Prepared(
            {}, arrays={**heard, "src.masked": masked}, patch_labels={"wav2vec2": labels}
        )

    def _distractors(self, place: Ints, draw: Draw, number: int) -> Ints:
        """[M, K] of M masked frames others of them, each drawn for itself."""
        own = np.arange(len(place))[:, None]
        counters = own * self.negatives + np.arange(self.negatives)
        other = draw.integers("distractors", number, len(place) - 1, counters)
        return place[other + (other >= own)]
