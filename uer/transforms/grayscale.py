"""Colours taken away."""

from __future__ import annotations

from typing import Annotated

from uer.transforms.base import Apply, Transform, torchvision


class Grayscale(Transform):
    """Takes the colours of some images away; they keep their channels."""

    def __init__(
        self, *, grayscale_rate: Annotated[float, "share of the images that become grey"] = 0.2
    ) -> None:
        self.grayscale_rate = grayscale_rate

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        return torchvision().RandomGrayscale(self.grayscale_rate)
