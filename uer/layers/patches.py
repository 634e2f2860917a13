"""Images as patches."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import DataError
from uer.layers.linear import INITIAL_STD
from uer.layers.product import linear


def cut(image: torch.Tensor, size: int) -> torch.Tensor:
    """Cut images into square patches.

    Args:
        image: [B, C, Y, X].
        size: side of a patch.

    Returns:
        [B, P, C, size, size], the patches row by row.

    Raises:
        DataError: the sides of the images are no multiples of the patches'.
    """
    height, width = image.shape[-2:]
    if height % size or width % size:
        raise DataError(
            f"an image of {height} x {width} pixels cannot be cut into patches of {size} x {size}; "
            "choose image_height and image_width that patch_size divides."
        )
    patches = image.unflatten(3, (-1, size)).unflatten(2, (-1, size))
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


class PatchProjection(nn.Module):
    """A linear map of the pixels of a patch: a convolution whose stride is its kernel.

    Args:
        channels: of the images.
        patch_size: side of a patch.
        size: E, width of the vectors.
        bias: the map has one.
    """

    def __init__(self, channels: int, patch_size: int, size: int, *, bias: bool) -> None:
        super().__init__()
        weight = torch.empty(size, channels, patch_size, patch_size)
        self.weight = nn.Parameter(nn.init.normal_(weight, std=INITIAL_STD))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """[B, P, C, size, size] → [B, P, E]."""
        return linear(patches.flatten(2), self.weight.flatten(1), self.bias)

    def no_decay(self) -> list[nn.Parameter]:
        """The bias."""
        return [] if self.bias is None else [self.bias]
