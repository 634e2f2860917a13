"""The repeated layers of a model: the units of what is done per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from uer.components import Decoder, Encoder
from uer.layers.base import AttentionContext


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers of all encoders and decoders, each once, from the first."""
    found: dict[int, nn.Module] = {}
    for module in model.modules():
        layers = getattr(module, "layers", None)
        if isinstance(module, (Encoder, Decoder)) and isinstance(layers, nn.ModuleList):
            found |= {id(layer): layer for layer in layers}
    return list(found.values())


def recompute(model: nn.Module) -> int:
    """Keep only the inputs of layers; the backward pass computes the rest once more.

    Saves most of the memory of activations for about a third more computation; results are equal,
    dropout included.

    Args:
        model: its layers are changed in place; names of parameters stay.

    Returns:
        How many layers there are.
    """
    layers = blocks(model)
    for layer in layers:
        layer.forward = _recomputed(layer.forward)
    return len(layers)


def _recomputed(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def run(*inputs: Any) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        contexts = fill_masks(inputs)
        scores = [context.scores for context in contexts]

        def again(*inputs: Any) -> torch.Tensor:
            for context, before in zip(contexts, scores, strict=True):
                context.scores = before
            return forward(*inputs)

        return checkpoint(again, *inputs, use_reentrant=False)  # pyright: ignore[reportReturnType]

    return run


def fill_masks(inputs: Sequence[Any]) -> list[AttentionContext]:
    """Make the masks that layers share before the first of them asks, so that all find them.

    Args:
        inputs: of a layer: hidden states and contexts of attention.

    Returns:
        The contexts.
    """
    contexts = [one for one in inputs if isinstance(one, AttentionContext)]
    for context in contexts:
        kind = inputs[0].device.type
        low = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if low else None
        context.kernel(inputs[0].new_empty(0, dtype=dtype))
    return contexts
