"""RandAugment (https://arxiv.org/abs/1909.13719)."""

from __future__ import annotations

from typing import Annotated

from uer.transforms.base import Apply, Transform, torchvision


class RandAugment(Transform):
    """Some random operations of one strength, out of fourteen on shape and colours."""

    def __init__(
        self,
        *,
        operations: Annotated[int, "operations on each image"] = 2,
        magnitude: Annotated[int, "their strength, 0 to 30"] = 9,
    ) -> None:
        self.operations, self.magnitude = operations, magnitude

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        return torchvision().RandAugment(self.operations, self.magnitude)
