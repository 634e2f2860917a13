"""A random part of the image (https://arxiv.org/abs/1409.4842)."""

from __future__ import annotations

from typing import Annotated, Any

from uer.transforms.base import Apply, Interpolation, Transform, resample, torchvision

_MIDDLE = 7 / 8  # 224 of 256


class RandomResizedCrop(Transform):
    """A part of random size and shape, resized to what the model reads.

    In evaluation it is the middle: 7/8 of the largest part that has the model's shape.
    """

    def __init__(
        self,
        *,
        scale: Annotated[
            tuple[float, float], "smallest and largest share of the image's area that is kept"
        ] = (0.08, 1.0),
        ratio: Annotated[
            tuple[float, float], "smallest and largest width of that part, divided by its height"
        ] = (3 / 4, 4 / 3),
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self.scale, self.ratio, self.interpolation = scale, ratio, interpolation

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        v2 = torchvision()
        mode = v2.InterpolationMode(self.interpolation)
        return v2.RandomResizedCrop(size, self.scale, self.ratio, interpolation=mode)

    def ordered(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.ordered`."""
        (height, width), how = size, resample(self.interpolation)

        def middle(image: Any) -> Any:
            part = min(image.width / width, image.height / height) * _MIDDLE
            across, down = max(1, round(width * part)), max(1, round(height * part))
            left, top = (image.width - across) // 2, (image.height - down) // 2
            return image.crop((left, top, left + across, top + down)).resize((width, height), how)

        return middle
