"""Images out of focus."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from uer.transforms.base import Apply, Transform


class GaussianBlur(Transform):
    """Blurs some images by a random radius."""

    def __init__(
        self,
        *,
        blur_rate: Annotated[float, "share of the images that are blurred"] = 0.5,
        blur_radius: Annotated[
            tuple[float, float], "smallest and largest standard deviation of the blur, in pixels"
        ] = (0.1, 2.0),
    ) -> None:
        self.blur_rate, self.blur_radius = blur_rate, blur_radius

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        from PIL.ImageFilter import GaussianBlur as Filter

        least, most = self.blur_radius

        def apply(image: Any) -> Any:
            chance, place = torch.rand(2).tolist()
            if chance >= self.blur_rate:
                return image
            return image.filter(Filter(least + place * (most - least)))

        return apply
