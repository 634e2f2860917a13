"""The middle of the image."""

from __future__ import annotations

from typing import Annotated, ClassVar

from uer.transforms.base import Apply, Transform, torchvision


class CenterCrop(Transform):
    """The middle in the size that the model reads; what is smaller gets a black border."""

    random: ClassVar[bool] = False

    def __init__(
        self,
        *,
        side: Annotated[
            int | None, "length of both sides; by default the size that the model reads"
        ] = None,
    ) -> None:
        self.side = side

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        return torchvision().CenterCrop(size if self.side is None else self.side)
