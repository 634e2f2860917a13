"""What targets read of the features that an embedding kept."""

from __future__ import annotations

import torch

from uer.errors import ConfigError
from uer.states import States


def require_features(target: str, size: int | None) -> int:
    """The width of the embedding's features.

    Args:
        target: who needs them.
        size: what the model says; None: its embedding keeps none.

    Raises:
        ConfigError: there are none.
    """
    if size is None:
        raise ConfigError(
            [
                f"target '{target}' predicts what the embedding read before anything was masked, "
                "and this one does not keep it; choose embedding: wave or spectrogram."
            ]
        )
    return size


def feature_penalty(states: States) -> torch.Tensor:
    """[] mean square of the front end's features.

    Raises:
        ConfigError: the embedding computes none.
    """
    if "feature_penalty" not in states.extras:
        raise ConfigError(
            ["feature_penalty_weight: only the embedding wave has such features; make it 0."]
        )
    return states.extras["feature_penalty"]
