"""Convolutions in front of a model that hears: frames or samples become fewer frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from uer.errors import ConfigError


def validity_of(lengths: torch.Tensor, width: int) -> torch.Tensor | None:
    """[B, width] True at what is real, or None where rows are known to be full.

    A device is not asked: it would have to be waited for.
    """
    if lengths.device.type == "cpu" and bool((lengths == width).all()):
        return None
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def at_least(rows: torch.Tensor, least: int) -> torch.Tensor:
    """[B, S, …] rows, with zeros behind them where not one frame could be made of the longest.

    Beside longer rows a short one has such zeros, too.
    """
    lacking = least - rows.shape[1]
    return F.pad(rows, (*(0, 0) * (rows.dim() - 2), 0, lacking)) if lacking > 0 else rows


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
