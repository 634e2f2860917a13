"""What a transform promises: a picture becomes another one, at random in training.

Transforms are named in a configuration, in the order in which they are applied::

    image_preprocess: [random_resized_crop, horizontal_flip, {normalize: {statistics: imagenet}}]

They are those of torchvision (``transforms.v2``). Its random numbers come from torch's generator,
which is seeded for every image, so an image's transforms depend on the seed, the epoch and its
number alone.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from uer.errors import UserError
from uer.registry import Registry

Apply: TypeAlias = Callable[[Any], Any]
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "lanczos"], "how an image is resized"
]


class Transform(ABC):
    """Something done to an image.

    Attributes:
        on_tensor: it changes a tensor, float32 [C, H, W] of the size that the model reads, with
            values from 0 to 1 before they are normalised; otherwise a `PIL.Image.Image` of 8 bits.
        random: in training it draws from torch's generator.
    """

    on_tensor: ClassVar[bool] = False
    random: ClassVar[bool] = True

    @abstractmethod
    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """What is done in training.

        Args:
            size: height and width that the model reads.
            channels: 1 or 3.
        """

    def ordered(self, size: tuple[int, int], channels: int) -> Apply | None:
        """What is done in evaluation and inference; nothing is random there. None: nothing.

        Args:
            size: as in training.
            channels: as in training.
        """
        return None if self.random else self.training(size, channels)


def torchvision() -> Any:
    """The module ``torchvision.transforms.v2``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except ImportError as error:
        raise UserError("images need the extra 'vision': pip install 'uer[vision]'.") from error


def resample(interpolation: str) -> Any:
    """Pillow's name of an interpolation."""
    from PIL.Image import Resampling

    return Resampling[interpolation.upper()]


transforms: Registry[Transform] = Registry("transform", Transform, "uer.transforms")
