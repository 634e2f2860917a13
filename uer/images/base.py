"""What a pipeline of images promises: from a file to the pixels that a model reads.

Every processor that reads images takes one as a part (``images``), so that its keys are named once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from uer.data.media.references import Medium
from uer.data.randomness import Draw
from uer.registry import Registry


class Images(ABC):
    """Reads images.

    Attributes:
        height: H of what it makes.
        width: W.
        channels: C, 1 (grey) or 3.
    """

    height: int
    width: int
    channels: int

    @abstractmethod
    def __call__(
        self, medium: Medium, draw: Draw, number: int, *, ordered: bool, view: int = 0
    ) -> NDArray[np.float32]:
        """Read an image.

        Args:
            medium: where it lies.
            draw: randomness of the epoch.
            number: of the instance.
            ordered: evaluation or inference: nothing is random.
            view: the same image may be read several times, each with its own random numbers.

        Returns:
            float32 [C, H, W].

        Raises:
            MediaError: it cannot be read.
        """


@contextmanager
def torch_draws(draw: Draw, purpose: str, number: int) -> Iterator[None]:
    """Whatever torch's generator of the CPU draws inside depends on the arguments alone.

    Afterwards it goes on as if nothing had been drawn.
    """
    import torch  # processors are imported without it

    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(int(draw.bits(purpose, number)[0]) >> 1)
    try:
        yield
    finally:
        generator.set_state(before)


images: Registry[Images] = Registry("image pipeline", Images, "uer.images")
