"""One picture of the whole, after the transforms of a list."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from uer.data.media.image import MAX_PIXELS, MODES, open_image
from uer.data.media.references import Medium
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import ChannelsNum, ImageHeight, ImageWidth
from uer.images.base import Images, torch_draws
from uer.transforms.base import Apply, Interpolation, Transform, resample


class SingleImage(Images):
    """Decodes an image, applies transforms and makes a tensor.

    First come the transforms of pictures, then whatever has not the model's size is resized, then
    the pixels become numbers from 0 to 1, then come the transforms of tensors.
    """

    def __init__(
        self,
        *,
        image_height: ImageHeight = 224,
        image_width: ImageWidth = 224,
        channels_num: ChannelsNum = 3,
        image_preprocess: list[Transform] = (),  # type: ignore[assignment]
        interpolation: Interpolation = "bilinear",
        max_image_pixels: Annotated[
            int, "images with more pixels are left out before they are decoded"
        ] = MAX_PIXELS,
    ) -> None:
        self.height, self.width, self.channels = image_height, image_width, channels_num
        self.interpolation, self.max_pixels = interpolation, max_image_pixels
        self.transforms = list(image_preprocess)
        first = next(
            (n for n, part in enumerate(self.transforms) if part.on_tensor), len(self.transforms)
        )
        problems = [
            (image_height < 1 or image_width < 1, "image_height and image_width must be positive."),
            (
                channels_num not in MODES,
                f"channels_num: {channels_num}; images have 1 channel (grey) or 3.",
            ),
            (max_image_pixels < 1, f"max_image_pixels: {max_image_pixels} is not positive."),
            (
                not all(part.on_tensor for part in self.transforms[first:]),
                "image_preprocess: normalize and random_erasing stand behind all others.",
            ),
        ]
        if found := [sentence for wrong, sentence in problems if wrong]:
            raise ConfigError(found)

    def __call__(
        self, medium: Medium, draw: Draw, number: int, *, ordered: bool, view: int = 0
    ) -> NDArray[np.float32]:
        """See `Images.__call__`."""
        picture = open_image(medium, self.channels, self.max_pixels)
        if ordered:
            return self._applied(picture, *self._ordered)
        with torch_draws(draw, f"image {view}", number):
            return self._applied(picture, *self._training)

    def _applied(
        self, picture: Any, on_pictures: list[Apply], on_tensors: list[Apply]
    ) -> NDArray[np.float32]:
        for apply in on_pictures:
            picture = apply(picture)
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height), resample(self.interpolation))
        pixels = np.asarray(picture).reshape(self.height, self.width, self.channels)
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
        tensor = torch.from_numpy(planes).div_(255)
        for apply in on_tensors:
            tensor = apply(tensor)
        return tensor.numpy()

    @functools.cached_property
    def _training(self) -> tuple[list[Apply], list[Apply]]:
        size = (self.height, self.width)
        made = [(part, part.training(size, self.channels)) for part in self.transforms]
        return _divided(made)

    @functools.cached_property
    def _ordered(self) -> tuple[list[Apply], list[Apply]]:
        size = (self.height, self.width)
        return _divided([(part, part.ordered(size, self.channels)) for part in self.transforms])

    def __getstate__(self) -> dict[str, Any]:
        """Other processes make the transforms anew."""
        return {k: v for k, v in vars(self).items() if k not in ("_training", "_ordered")}


def _divided(made: Sequence[tuple[Transform, Apply | None]]) -> tuple[list[Apply], list[Apply]]:
    """What is applied to pictures, and what to tensors."""
    pictures = [apply for part, apply in made if apply is not None and not part.on_tensor]
    return pictures, [apply for part, apply in made if apply is not None and part.on_tensor]
