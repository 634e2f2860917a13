"""Left and right exchanged."""

from __future__ import annotations

from typing import Annotated

from uer.transforms.base import Apply, Transform, torchvision


class HorizontalFlip(Transform):
    """Exchanges left and right of some images."""

    def __init__(
        self, *, flip_rate: Annotated[float, "share of the images that are flipped"] = 0.5
    ) -> None:
        self.flip_rate = flip_rate

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        return torchvision().RandomHorizontalFlip(self.flip_rate)
