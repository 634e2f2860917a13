"""Which models fp16 is too small for."""

from __future__ import annotations

from torch import nn

from uer.errors import ConfigError
from uer.layers.attentions.multihead import MultiHeadAttention
from uer.layers.norms.rms import RMSNorm
from uer.training.machine import Arithmetic


def require_range(model: nn.Module, precision: Arithmetic) -> None:
    """Refuse fp16 for models like T5: RMS norms, and attention whose scores are not scaled.

    They were trained in bf16, which has the range of fp32. Their states grow from layer to layer
    without a norm that would bring them back to a mean of zero, and leave the range of fp16.

    Raises:
        ConfigError: the model is of that kind, and the precision fp16.
    """
    if precision != "fp16":
        return
    parts = list(model.modules())
    unscaled = any(isinstance(part, MultiHeadAttention) and part.scale == 1.0 for part in parts)
    if unscaled and any(isinstance(part, RMSNorm) for part in parts):
        raise ConfigError(
            [
                "--precision fp16: models like T5 (RMS norms, scores of attention that are not "
                "scaled) have activations beyond 65504, the largest number of fp16, so losses "
                "become infinite; use --precision bf16 or fp32."
            ]
        )
