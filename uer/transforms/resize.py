"""Another size."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from uer.data.media.references import MediaError
from uer.errors import ConfigError
from uer.transforms.base import Apply, Interpolation, Transform, resample

_LARGEST = 1 << 26  # pixels


class Resize(Transform):
    """The shorter side gets a given length and the shape stays; or both get one, or the model's.

    An image so elongated that the longer side would become enormous counts as unreadable.
    """

    random: ClassVar[bool] = False

    def __init__(
        self,
        *,
        shorter: Annotated[
            int | None, "length of the shorter side; by default the size that the model reads"
        ] = None,
        side: Annotated[int | None, "length of both sides, whatever the image's shape"] = None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        for key, length in (("shorter", shorter), ("side", side)):
            if length is not None and length < 1:
                raise ConfigError([f"resize: {key}: {length} is not positive."])
        if shorter is not None and side is not None:
            raise ConfigError(["resize: choose one of shorter and side."])
        self.shorter, self.side, self.interpolation = shorter, side, interpolation

    def training(self, size: tuple[int, int], channels: int) -> Apply:
        """See `Transform.training`."""
        how = resample(self.interpolation)

        def apply(image: Any) -> Any:
            wanted = (size[1], size[0]) if self.side is None else (self.side, self.side)
            if self.shorter is not None:
                sides = (image.width, image.height)
                # Rounded down, as torchvision does.
                wanted = tuple(int(self.shorter * side / min(sides)) for side in sides)
            if wanted[0] * wanted[1] > _LARGEST:
                raise MediaError("too elongated", f"{image.width:,} x {image.height:,}")
            return image if image.size == wanted else image.resize(wanted, how)

        return apply
