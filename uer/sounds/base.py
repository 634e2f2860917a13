"""What a pipeline of sounds promises: from a file to the frames or samples that a model reads.

Every processor that reads sounds takes one as a part (``sounds``), so that its keys are named once,
and that what is learnt from frames can be learnt from samples as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import Medium
from uer.data.randomness import Draw
from uer.registry import Registry

SamplingRate = Annotated[int, "samples of a second; sounds of another rate are resampled"]


class Sounds(ABC):
    """Reads sounds.

    Attributes:
        field: what it fills of a side: ``frames`` or ``wave``.
        unit: what is counted, for messages.
        longest: longer sounds, in frames or samples, are left out.
        shortest: shorter ones, too.
    """

    field: ClassVar[str]
    unit: ClassVar[str]
    longest: int
    shortest: int = 1

    @abstractmethod
    def __call__(self, medium: Medium, draw: Draw, number: int) -> NDArray[np.float32]:
        """Read a sound.

        Args:
            medium: where it lies.
            draw: randomness of the epoch.
            number: of the instance.

        Returns:
            float32 [F, M] frames, or [S] samples.

        Raises:
            MediaError: it cannot be read.
        """

    @abstractmethod
    def lengths(self, samples: NDArray[np.int64], rates: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] frames or samples that come out of files of so many samples of so many a second."""

    def augment(self, made: NDArray[np.float32], draw: Draw, number: int) -> NDArray[np.float32]:
        """What training reads instead of a sound that was read; by default the same."""
        return made


sounds: Registry[Sounds] = Registry("sound pipeline", Sounds, "uer.sounds")
