"""Bright pixels turned around."""

from __future__ import annotations

from typing import Annotated

from uer.transforms.base import Apply, Transform, torchvision


class Solarize(Transform):
    """Inverts the pixels of some images that are brighter than a threshold."""

    def __init__(
        self,
        *,
        solarize_rate: Annotated[float, "share of the images that are solarised"] = 0.2,
        solarize_threshold: Annotated[int, "pixels as bright as this, of 255, are inverted"] = 128,
    ) -> None:
        self.rate, self.threshold = solarize_rate, solarize_threshold

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        return torchvision().RandomSolarize(self.threshold, self.rate)
