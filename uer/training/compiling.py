"""Compiles the layers of a model (torch.compile)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from uer.errors import ConfigError
from uer.training.blocks import blocks, fill_masks
from uer.training.engine import Engine

logger = logging.getLogger(__name__)


def require_compiling(engine: Engine, *, checkpoint_activations: bool) -> None:
    """Refuse ``--compile`` beside what it does not go with.

    Raises:
        ConfigError: with what.
    """
    if not engine.plain:
        raise ConfigError(["--compile: goes with --engine single or ddp; leave it out."])
    if checkpoint_activations:
        raise ConfigError(["--compile and --checkpoint_activations: choose one of them."])


def compile_layers(model: nn.Module) -> int:
    """Compile every layer for the shapes that it sees; heads and embeddings stay as they are.

    The number of labels differs from batch to batch, the shape of packed rows does not. If the
    compiler fails, all layers run as without it, and a warning says so.

    Args:
        model: its layers are changed in place; names of parameters stay.

    Returns:
        How many layers there are.
    """
    layers, failed = blocks(model), list[str]()
    for layer in layers:
        layer.forward = _compiled(layer.forward, failed)
    return len(layers)


def _compiled(forward: Callable[..., torch.Tensor], failed: list[str]) -> Any:
    """The function, compiled when it is first called, unless ``failed`` holds a reason."""
    fast = torch.compile(forward, dynamic=False)

    def run(*inputs: Any, **named: Any) -> torch.Tensor:
        if failed:
            return forward(*inputs, **named)
        fill_masks(inputs)  # else the first layer of all, which makes them, is compiled by itself
        try:
            return fast(*inputs, **named)
        except TorchDynamoException as error:
            failed.append(" ".join(str(error).split("\n")[:2]))  # who failed, and why
            logger.warning("--compile: the compiler failed (%s); layers run without it", failed[0])
            return forward(*inputs, **named)

    return run
