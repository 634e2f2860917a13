"""Every process holds the whole model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from uer.batch import Batch
from uer.score import Score
from uer.training.engines.single import SingleDevice
from uer.training.lazy import Lazy, lazy

# Sending buffers before every forward pass; they are alike anyway. Older versions of torch call it
# otherwise.
_KNOWN = inspect.signature(DistributedDataParallel.__init__).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers"


class DataParallel(SingleDevice):
    """Every process holds the whole model and its own batch; gradients are exchanged.

    They are exchanged once per update, while the last micro-batch is still propagated back. Every
    parameter takes part in every micro-batch, as targets without items score a connected zero.
    """

    distributed = True

    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """See `Engine.prepare`."""
        super().prepare(model, make)
        self.whole = self.model
        options: dict[str, Any] = {_SYNC_BUFFERS: False}
        self.model = DistributedDataParallel(self.whole, gradient_as_bucket_view=True, **options)

    def forward(self, batch: Batch, *, last: bool = True) -> dict[str, Score]:
        """See `Engine.forward`."""
        assert isinstance(self.model, DistributedDataParallel)
        self.model.require_backward_grad_sync = last  # what its no_sync() does
        return super().forward(batch, last=last)

    def backward(self, loss: torch.Tensor) -> None:
        """See `Engine.backward`; the exchange takes the mean, a share wants the sum."""
        super().backward(loss * self.processes.world)

    def lazy_weights(self) -> dict[str, Lazy]:
        """See `Engine.lazy_weights`."""
        return lazy(self.whole.state_dict())
