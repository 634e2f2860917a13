"""Convolutions in front of a model that hears: frames or samples become fewer frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from uer.errors import ConfigError, DataError


def validity_of(lengths: torch.Tensor, width: int) -> torch.Tensor | None:
    """[B, width] True at what is real, or None where rows are known to be full.

    A device is not asked: it would have to be waited for.
    """
    if lengths.device.type == "cpu" and bool((lengths == width).all()):
        return None
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def require_length(found: int, least: int, what: str) -> None:
    """Refuse rows of which no frame can be made.

    Raises:
        DataError: the longest row of a batch is too short.
    """
    if found < least:
        raise DataError(
            f"the longest row of the batch has {found} {what}, and the model's convolutions need "
            f"at least {least}; leave shorter sounds out."
        )


def checked_convolutions(
    channels: Sequence[int], kernel_sizes: Sequence[int], strides: Sequence[int]
) -> None:
    """Refuse lists that do not describe the same convolutions.

    Raises:
        ConfigError: their lengths differ, they are empty, or a number is not positive.
    """
    lists = {"conv_channels": channels, "conv_kernel_sizes": kernel_sizes, "conv_strides": strides}
    problems = [
        f"{key}: {list(values)} must hold numbers of at least 1."
        for key, values in lists.items()
        if not values or min(values) < 1
    ]
    if len({len(values) for values in lists.values()}) > 1:
        said = ", ".join(f"{key} {len(values)}" for key, values in lists.items())
        problems.append(f"there must be one number for each convolution, and there are: {said}.")
    if problems:
        raise ConfigError(problems)


class Convolution(nn.Conv1d):
    """A convolution over a row; its bias takes no weight decay."""

    def reset_parameters(self) -> None:
        """Kaiming's normal distribution; a bias is drawn from ±1/√(inputs)."""
        nn.init.kaiming_normal_(self.weight)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def no_decay(self) -> list[nn.Parameter]:
        """The bias."""
        return [value for name, value in self.named_parameters() if name == "bias"]


class ChannelNorm(nn.GroupNorm):
    """Mean and variance of each channel over the row, [B, C, L]; padding is part of the row."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def no_decay(self) -> list[nn.Parameter]:
        """Scale and shift."""
        return [self.weight, self.bias]


class FrameNorm(nn.LayerNorm):
    """Mean and variance of each frame over its channels, [B, C, L]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[B, C, L] → [B, C, L]."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)

    def no_decay(self) -> list[nn.Parameter]:
        """Scale and shift."""
        return [self.weight, self.bias]
