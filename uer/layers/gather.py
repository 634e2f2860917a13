"""The rows of all processes, with their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.nn import functional as F


class Rows(NamedTuple):
    """The rows of all processes.

    Args:
        all: [N, F] in the order of the ranks; the same in every process.
        own: [n] which of them are this process's.
    """

    all: torch.Tensor
    own: torch.Tensor


def gathered(rows: torch.Tensor) -> Rows:
    """Bring the rows of all processes together; where there is no other process, one's own.

    To be entered by all processes of a run. What any of them does with a row comes back to its
    owner as gradient, so that the sum of all processes' losses is that of one big batch.

    Args:
        rows: [n, F]; processes may have different n, or none.
    """
    counts = _counts(rows)
    rank = dist.get_rank() if len(counts) > 1 else 0
    first, count = sum(counts[:rank]), rows.shape[0]
    own = torch.arange(first, first + count, device=rows.device)
    most = max(counts)
    if len(counts) == 1 or not most:
        return Rows(rows, own)
    padded = F.pad(rows, (0, 0, 0, most - count)).contiguous()
    parts = _AllGather.apply(padded)
    assert isinstance(parts, torch.Tensor)
    kept = [part[:size] for part, size in zip(parts, counts, strict=True)]
    return Rows(torch.cat(kept), own)


def _counts(rows: torch.Tensor) -> list[int]:
    """How many rows every process has. The host waits: shapes depend on it."""
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if world == 1:
        return [rows.shape[0]]
    own = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(counts, own)
    return torch.cat(counts).tolist()


class _AllGather(torch.autograd.Function):
    """[n, F] of each process → [world, n, F] in all of them."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)  # gloo has no reduce-scatter
        return total[dist.get_rank()]
