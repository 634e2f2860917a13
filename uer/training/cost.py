"""What a training step computes and holds, and what the device could do."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from uer.batch import Batch
from uer.model import Model
from uer.training.machine import DTYPES, Arithmetic

_BYTES = 4  # of a float32
_ROUNDS, _SIZES = 6, (512, 1024)


class Cost(NamedTuple):
    """What one forward and backward pass takes.

    Args:
        flops: floating-point operations of matrix products and convolutions.
        activations: bytes of what the innermost modules return, kept for the backward pass.
        encoder_share: how much of the forward pass is the encoder's; of the backward pass, too.
    """

    flops: int
    activations: int
    encoder_share: float


def cost(model: Model, batch: Batch, *, body: bool = False) -> Cost:
    """Count a step without computing it.

    Args:
        model: built on the ``meta`` device: there, fused attention is counted too.
        batch: any batch of the shapes in question.
        body: leave the targets out, and the batch needs no labels.
    """
    held = 0

    def note(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        nonlocal held
        made = output if isinstance(output, tuple) else (output,)
        held += sum(_BYTES * one.numel() for one in made if isinstance(one, torch.Tensor))

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    with FlopCounterMode(display=False) as forward:
        result = _result(model.eval(), batch.to(torch.device("meta")), body=body)
    with FlopCounterMode(display=False) as backward:
        result.backward()
    for hook in hooks:
        hook.remove()
    flops, by_module = forward.get_total_flops(), forward.get_flop_counts()
    encoder = by_module.get("Model.encoder", by_module.get(type(model.encoder).__name__, {}))
    share = sum(encoder.values()) / flops if flops else 0.0
    return Cost(flops + backward.get_total_flops(), held, share)


def _result(model: Model, batch: Batch, *, body: bool) -> torch.Tensor:
    """One number that depends on everything; dropout computes no product."""
    if body:
        states = model.states(batch)
        parts = [stream.hidden.sum() for stream in states.streams or (states,)]
    else:
        parts = [score.loss_sum for score in model(batch).values()]
    return torch.stack(parts).sum()


def peak_flops(device: torch.device, precision: Arithmetic) -> float:
    """The best matrix product of a device, in operations per second, measured now."""
    best = 0.0
    for size in _SIZES:
        left = torch.randn(4096, size, device=device, dtype=DTYPES[precision])
        right = torch.randn(size, size, device=device, dtype=DTYPES[precision])
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            result = left @ right
            result[0, 0].item()  # waits for the device
            seconds = time.perf_counter() - start
            best = max(best, 2 * left.shape[0] * size * size / seconds)
    return best
