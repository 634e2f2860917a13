"""Every process holds a part of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor.experimental import implicit_replication

from uer.batch import Batch
from uer.score import Score
from uer.training.blocks import blocks
from uer.training.engine import StepReport
from uer.training.engines.single import SingleDevice
from uer.training.lazy import Lazy


class FullyShardedDataParallel(SingleDevice):
    """Every process holds a part of each parameter, its gradient and its optimizer state.

    (FSDP2.) A layer's parameters are brought together when it computes and given back behind it;
    what stands outside the layers (embeddings, targets) stays together through the forward pass.
    Parameters that are single numbers cannot be divided: every process holds them.
    """

    distributed = True
    plain = False

    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """See `Engine.prepare`."""
        mesh = init_device_mesh(self.device.type, (self.processes.world,))
        self._numbers = [p for p in model.parameters() if p.ndim == 0]
        own: dict[str, Any] = {"ignored_params": set(self._numbers)} if self._numbers else {}
        for block in blocks(model):  # each goes to the device, and is divided, by itself
            fully_shard(block, mesh=mesh, **own)
        fully_shard(model, mesh=mesh, **own)
        super().prepare(model, make)

    def forward(self, batch: Batch, *, last: bool = True) -> dict[str, Score]:
        """See `Engine.forward`."""
        assert isinstance(self.model, FSDPModule)
        self.model.set_requires_gradient_sync(last)
        return super().forward(batch, last=last)

    def backward(self, loss: torch.Tensor) -> None:
        """See `Engine.backward`; the exchange takes the mean, a share wants the sum."""
        super().backward(loss * self.processes.world)

    def step(self, learning_rate: float) -> StepReport:
        """See `Engine.step`."""
        for number in self._numbers:
            if number.grad is not None:
                dist.all_reduce(number.grad.div_(self.processes.world))
        with implicit_replication():  # the optimizer's own tensors are the same everywhere
            return super().step(learning_rate)

    def lazy_weights(self) -> dict[str, Lazy]:
        """See `Engine.lazy_weights`; tied parameters have one part under several names."""
        return _lazy(self.model.state_dict(keep_vars=True))

    def lazy_optimizer_state(self) -> dict[str, Lazy]:
        """See `Engine.lazy_optimizer_state`."""
        return _lazy(self.own_optimizer_state())

    def total_norm(self) -> torch.Tensor:
        """[] norm of all gradients of the whole model."""
        whole = [g for g in self.gradients() if not isinstance(g, DTensor)]
        parts = [g for g in self.gradients() if isinstance(g, DTensor)]
        norms = [torch.nn.utils.get_total_norm(some) for some in (whole, parts) if some]
        there = [n.full_tensor() if isinstance(n, DTensor) else n for n in norms]
        return torch.linalg.vector_norm(torch.stack(there)) if there else torch.zeros(())

    def own_part(self, value: torch.Tensor, param: nn.Parameter) -> torch.Tensor:
        """What this process keeps of a whole tensor of a parameter's optimizer state."""
        if not isinstance(param, DTensor) or value.shape != param.shape:
            return value
        there = value.to(self.device)
        # every process has read the checkpoint: nothing is sent
        return distribute_tensor(there, param.device_mesh, param.placements, src_data_rank=None)


def _lazy(parts: Mapping[str, torch.Tensor]) -> dict[str, Lazy]:
    """This process's parts as the tensors that they are parts of."""
    found: dict[int, Lazy] = {}
    for value in parts.values():
        gather = partial(_gathered, value.detach())
        found.setdefault(id(value), Lazy(tuple(value.shape), value.dtype, gather))
    return {name: found[id(value)] for name, value in parts.items()}


def _gathered(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value
