"""Cross-entropy as a `Score`: summed loss, accuracy."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from uer.score import Ratio, Score


def cross_entropy(
    logits: torch.Tensor, value: torch.Tensor, *, label_smoothing: float = 0.0
) -> Score:
    """Score predictions in float32.

    Args:
        logits: [M, C]; M may be 0, and C where M is.
        value: [M] int64 classes, or [M, C] float probabilities.
        label_smoothing: share of the probability spread over all classes.

    Returns:
        The loss summed over the M items, and the accuracy.
    """
    logits = logits.float()
    if not logits.numel():  # no item, and at times nothing to choose among
        nothing = logits.new_zeros(())
        return Score(logits.sum(), {"accuracy": Ratio(nothing, nothing)})
    loss = F.cross_entropy(logits, value, reduction="sum", label_smoothing=label_smoothing)
    best = value if value.dim() == 1 else value.argmax(-1)
    correct = (logits.detach().argmax(-1) == best).sum().to(loss.dtype)
    weight = torch.full((), float(value.shape[0]), device=value.device)
    return Score(loss, {"accuracy": Ratio(correct, weight)})
