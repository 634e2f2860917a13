"""Random brightness, contrast, saturation and hue."""

from __future__ import annotations

from typing import Annotated

from uer.transforms.base import Apply, Transform, torchvision


class ColorJitter(Transform):
    """Changes colours in random order; a strength s means factors from 1 - s to 1 + s."""

    def __init__(
        self,
        *,
        brightness: Annotated[float, "strength of changes of brightness"] = 0.4,
        contrast: Annotated[float, "strength of changes of contrast"] = 0.4,
        saturation: Annotated[float, "strength of changes of saturation"] = 0.4,
        hue: Annotated[float, "largest turn of the hue, at most 0.5"] = 0.0,
        jitter_rate: Annotated[float, "share of the images whose colours are changed"] = 1.0,
    ) -> None:
        self.strengths = (brightness, contrast, saturation, hue)
        self.jitter_rate = jitter_rate

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        v2 = torchvision()
        brightness, contrast, saturation, hue = self.strengths
        if channels == 1:  # grey has neither
            saturation = hue = 0.0
        jitter = v2.ColorJitter(brightness, contrast, saturation, hue)
        return jitter if self.jitter_rate >= 1 else v2.RandomApply([jitter], self.jitter_rate)
