"""Random erasing (https://arxiv.org/abs/1708.04896)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from uer.transforms.base import Apply, Transform, torchvision


class RandomErasing(Transform):
    """Writes over a rectangle of some images; stands behind `normalize`, where 0 is the mean."""

    on_tensor: ClassVar[bool] = True

    def __init__(
        self,
        *,
        erase_rate: Annotated[float, "share of the images with a hole"] = 0.25,
        erase_scale: Annotated[
            tuple[float, float], "smallest and largest share of the image that is erased"
        ] = (0.02, 0.33),
        erase_with: Annotated[Literal["zero", "random"], "what stands in the hole"] = "random",
    ) -> None:
        self.erase_rate, self.erase_scale = erase_rate, erase_scale
        self.erase_with = erase_with

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        value = "random" if self.erase_with == "random" else 0
        return torchvision().RandomErasing(
            self.erase_rate, self.erase_scale, value=value, inplace=True
        )
