"""Masking behind a convolutional front end: wav2vec 2.0, HuBERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uer.data.randomness import Draw
from uer.frames import STRIDES, frames_after, shortest
from uer.maskings.base import require

MaskProb = Annotated[
    float, "share of the frames in masked stretches; those that stand in several count often"
]
MaskLength = Annotated[int, "frames of a masked stretch"]


class FrontEnd:
    """How many frames the embedding `wave` makes of samples.

    Args:
        kernel_sizes: of its convolutions.
        strides: of its convolutions; None: those of wav2vec 2.0.
    """

    def __init__(self, kernel_sizes: Sequence[int], strides: Sequence[int] | None) -> None:
        self._sizes = (list(kernel_sizes), list(STRIDES if strides is None else strides))
        require(
            (
                len(self._sizes[0]) == len(self._sizes[1]),
                f"conv_kernel_sizes has {len(self._sizes[0])} numbers and conv_strides "
                f"{len(self._sizes[1])}; each convolution has one of both.",
            )
        )

    @property
    def stride(self) -> int:
        """Samples from frame to frame."""
        return int(np.prod(self._sizes[1]))

    def frames(self, samples: Any) -> Any:
        """Frames of so many samples: a number, or [n]."""
        return frames_after(samples, *self._sizes, False)

    def samples(self, frames: int) -> int:
        """The least samples of which so many frames are made."""
        return shortest(*self._sizes, False) + (frames - 1) * self.stride


class Spans(NamedTuple):
    """Stretches of frames that are masked.

    Args:
        share: of an utterance's frames that stand in stretches, those of several counted often.
        length: frames of a stretch.
    """

    share: float
    length: int

    @staticmethod
    def checked(share: float, length: int) -> Spans:
        """The stretches of a configuration.

        Raises:
            ConfigError: a number makes no sense.
        """
        require(
            (0 < share <= 1, f"mask_time_prob: {share} is not in (0, 1]."),
            (length >= 1, f"mask_time_length: {length} is less than 1."),
        )
        return Spans(share, length)

    def masked(self, frames: int, draw: Draw, number: int) -> NDArray[np.bool_]:
        """[frames] True where an utterance is masked.

        Stretches start at different places and may overlap. Of short utterances they are at most
        half as long, and two frames at least.

        Args:
            frames: of the utterance, three at least.
            draw: the randomness of the epoch.
            number: of the instance.
        """
        length = min(max(self.length, 2), max(2, frames // 2))
        starts = frames - length + 1
        luck = float(draw.uniform("number of masks", number)[0])
        count = min(starts, max(1, int(self.share * frames / length + luck)))
        order = np.argsort(draw.bits("place of masks", number, np.arange(starts)), kind="stable")
        masked = np.zeros(frames, np.bool_)
        masked[order[:count, None] + np.arange(length)] = True
        return masked
