"""Pixels of about zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch

from uer.errors import ConfigError
from uer.transforms.base import Apply, Transform

# Means and standard deviations of red, green and blue, for values from 0 to 1.
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


class Normalize(Transform):
    """Subtracts a mean and divides by a standard deviation; grey takes the mean of the three."""

    on_tensor: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __init__(
        self,
        *,
        statistics: Annotated[
            Literal["imagenet", "clip", "half", "none"],
            "whose mean and standard deviation: those of ImageNet or of CLIP's images, 0.5 and "
            "0.5, or none",
        ] = "clip",
        image_mean: Annotated[
            list[float] | None, "mean of red, green and blue, instead of those of statistics"
        ] = None,
        image_std: Annotated[
            list[float] | None, "their standard deviations; goes with image_mean"
        ] = None,
    ) -> None:
        given = [values for values in (image_mean, image_std) if values is not None]
        if len(given) == 1 or any(len(values) not in (1, 3) for values in given):
            raise ConfigError(
                ["normalize: image_mean and image_std go together, three numbers (or one) each."]
            )
        if image_std is not None and min(image_std) <= 0:
            raise ConfigError([f"normalize: image_std: {image_std} must be positive."])
        self.statistics: tuple[Sequence[float], ...] = tuple(given) or STATISTICS[statistics]

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        mean, deviation = (self._of(values, channels) for values in self.statistics)

        def apply(image: Any) -> Any:
            return image.sub_(mean).div_(deviation)

        return apply

    def undone(self, image: torch.Tensor) -> torch.Tensor:
        """[…, C, H, W] as it was before."""
        mean, deviation = (self._of(values, image.shape[-3]) for values in self.statistics)
        return image * deviation + mean

    def _of(self, values: Sequence[float], channels: int) -> torch.Tensor:
        of_colours = torch.tensor(values, dtype=torch.float32).expand(3)
        return (of_colours if channels == 3 else of_colours.mean(0, keepdim=True))[:, None, None]
