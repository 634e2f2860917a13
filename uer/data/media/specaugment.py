"""SpecAugment: stretches of time and of frequency are hidden (https://arxiv.org/abs/1904.08779)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.randomness import Draw
from uer.errors import ConfigError


@dataclass(frozen=True)
class SpecAugment:
    """The widths and numbers of masks, under the letters of the paper.

    Args:
        freq_mask_F: most bins that a frequency mask hides.
        freq_mask_N: frequency masks of an utterance.
        time_mask_T: most frames that a time mask hides.
        time_mask_N: time masks of an utterance.
        time_mask_p: most of an utterance that a time mask hides, as a share.
        time_warp_W: only 0, no warping: it slows training down and helps least (section 3.5).
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    freq_mask_F: int = 0  # noqa: N815
    freq_mask_N: int = 0  # noqa: N815
    time_mask_T: int = 0  # noqa: N815
    time_mask_N: int = 0  # noqa: N815
    time_mask_p: float = 1.0
    time_warp_W: int = 0  # noqa: N815


def require_specaugment(chosen: SpecAugment) -> None:
    """Refuse what cannot be done.

    Raises:
        ConfigError: a value is negative, a share above 1, or time is to be warped.
    """
    problems = [
        f"specaugment.{name}: {value} is negative."
        for name, value in asdict(chosen).items()
        if value < 0
    ]
    if chosen.time_mask_p > 1:
        problems.append(f"specaugment.time_mask_p: {chosen.time_mask_p} is more than all.")
    if chosen.time_warp_W > 0:
        problems.append(
            f"specaugment.time_warp_W: {chosen.time_warp_W}: time is not warped here; set 0."
        )
    if problems:
        raise ConfigError(problems)


def specaugment(
    frames: NDArray[np.float32], chosen: SpecAugment, draw: Draw, instance: int
) -> NDArray[np.float32]:
    """Hide parts of an utterance behind its mean.

    Args:
        frames: [F, M], which stays as it is.
        chosen: how much of it.
        draw: the randomness of the epoch.
        instance: the utterance's number.

    Returns:
        [F, M].
    """
    hidden, mean = frames.copy(), frames.mean()
    time, bins = frames.shape
    widest = min(chosen.freq_mask_F, bins)
    for first, width in _stretches(draw, "bins", instance, chosen.freq_mask_N, widest, bins):
        hidden[:, first : first + width] = mean
    widest = min(chosen.time_mask_T, int(chosen.time_mask_p * time))
    for first, width in _stretches(draw, "frames", instance, chosen.time_mask_N, widest, time):
        hidden[first : first + width] = mean
    return hidden


def _stretches(
    draw: Draw, purpose: str, instance: int, count: int, widest: int, size: int
) -> NDArray[np.int64]:
    """[count, 2] first place and width (0 … widest) of stretches among ``size`` places."""
    counters = np.arange(count)
    width = draw.integers(f"masked {purpose}", instance, widest + 1, counters)
    return np.stack(
        [draw.integers(f"place of masked {purpose}", instance, size - width + 1, counters), width],
        axis=1,
    )
