"""The part of training that differs between one device and many.

The loop in `uer.training.trainer` is written once against `Engine`; an engine is one file in
``uer/training/engines``, chosen with ``--engine``. Whatever the engine and the number of processes,
an update is that of one process with one big batch, and a checkpoint holds the same.

Methods that several processes have to enter together say so; none of them may be called behind a
test of the rank.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import CheckpointError
from uer.optimizers.base import Named
from uer.registry import Registry
from uer.score import Score
from uer.signature import Given
from uer.training.lazy import Lazy, whole
from uer.training.machine import DTYPES, Arithmetic
from uer.training.processes import Processes

_FIRST_LOSS_SCALE, _GOOD_UPDATES_TO_GROW = 2.0**16, 2000


class Trainable(Protocol):
    """What training asks of a model, which is an ``nn.Module`` besides."""

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """λ of each target."""
        ...

    @property
    def additive(self) -> bool:
        """Every loss is a sum over items, so accumulation equals one big batch."""
        ...

    def __call__(self, batch: Batch) -> dict[str, Score]:
        """Score a batch, by target."""
        ...

    def weights(self, batch: Batch) -> dict[str, torch.Tensor]:
        """[] items of each target, known before the forward pass."""
        ...

    def decay_groups(self) -> tuple[Named, Named]:
        """Parameters by name, with and without weight decay."""
        ...

    def hidden(self) -> set[str]:
        """Names of the parameters of hidden layers."""
        ...

    def stages(self) -> list[set[str]]:
        """Names of the parameters of embeddings and layers, in the order a batch passes them."""
        ...

    def on_start(self) -> None:
        """Called before the first update of a process, when all weights are loaded."""
        ...

    def on_update(self, step: int, total: int) -> None:
        """Called after update ``step`` (from 1) of ``total``."""
        ...

    def on_resume(self, step: int, total: int) -> None:
        """Called when a run goes on behind update ``step``."""
        ...


class StepReport(NamedTuple):
    """What an update was like; on the device.

    Args:
        grad_norm: [] norm of all gradients, before clipping.
        skipped: [] 1 if it was not finite, so that nothing was changed; else 0.
    """

    grad_norm: torch.Tensor
    skipped: torch.Tensor


class Engine(ABC):
    """Runs a model and its updates.

    Attributes:
        processes: this one and the others.
        device: where batches go.
        model: the module to call, after `prepare`.
        optimizer: of its parameters, after `prepare`.

    Args:
        device: where the model lives.
        precision: arithmetic of the forward pass. Parameters and updates are always fp32.
        max_grad_norm: gradients are clipped to this norm; 0: never.
        processes: this one and the others; None: this one alone.
        config: what the engine's own configuration file says, for engines that have one.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    distributed: ClassVar[bool] = True  # it needs a process group, even of one process
    plain: ClassVar[bool] = False  # after `prepare` parameters are still whole

    def __init__(
        self,
        *,
        device: Given[torch.device | str] = "cpu",
        precision: Given[Arithmetic] = "fp32",
        max_grad_norm: Given[float] = 1.0,
        processes: Given[Processes | None] = None,
        config: Given[Mapping[str, Any] | None] = None,
    ) -> None:
        self.device = torch.device(device)
        self.precision: Arithmetic = precision
        self.max_grad_norm = max_grad_norm
        self.processes = processes or Processes()
        self.config = dict(config or {})

    @property
    def is_main(self) -> bool:
        """This process writes files and logs."""
        return self.processes.is_main

    @abstractmethod
    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """Bring the model, whose weights are final, to its device; make the optimizer. Together.

        Raises:
            ConfigError: the optimizer cannot skip an update on the device.
        """

    @abstractmethod
    def forward(self, batch: Batch, *, last: bool = True) -> dict[str, Score]:
        """Run the model on a batch of this device in the chosen precision. Together.

        Args:
            batch: this process's.
            last: no other micro-batch of this update follows: its `backward` exchanges gradients.
        """

    @abstractmethod
    def backward(self, loss: torch.Tensor) -> None:
        """Add a micro-batch's gradients. Together.

        Args:
            loss: [] its share of the loss of the whole update, over all processes.
        """

    @abstractmethod
    def step(self, learning_rate: float) -> StepReport:
        """Clip, update unless a gradient is not finite, and clear the gradients. Together."""

    @abstractmethod
    def lazy_weights(self) -> dict[str, Lazy]:
        """The model's ``state_dict``, the same names in every process. Together."""

    @abstractmethod
    def lazy_optimizer_state(self) -> dict[str, Lazy]:
        """``"<quantity>/<parameter>"`` → tensor, the same names in every process. Together."""

    def weights(self) -> dict[str, torch.Tensor]:
        """All of `lazy_weights` in the main process. Together."""
        return self._in_main(whole(self.lazy_weights()))

    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """All of `lazy_optimizer_state` in the main process. Together."""
        return self._in_main(whole(self.lazy_optimizer_state()))

    @abstractmethod
    def load_optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what `optimizer_state` of any engine returned in the main process. Together.

        Raises:
            CheckpointError: it belongs to other parameters.
        """

    @abstractmethod
    def state(self) -> dict[str, float]:
        """What else the engine has to remember."""

    @abstractmethod
    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore what `state` returned."""

    def edit(self, change: Callable[[], None]) -> None:
        """Let modules change parameters of their own after an update (clamping). Together."""
        change()

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes. Together."""
        return self.processes.sum(values)

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set in any process. Together."""
        return self.processes.any(flag)

    def _in_main(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return tensors if self.is_main else {}

    def autocast(self) -> torch.autocast:
        """The context of a forward pass in the chosen precision."""
        low = self.precision != "fp32"
        return torch.autocast(
            self.device.type, DTYPES[self.precision] if low else None, enabled=low
        )


engines: Registry[Engine] = Registry("engine", Engine, "uer.training.engines")


def require_parameter(name: str, known: Collection[str]) -> None:
    """Refuse an optimizer's state of a parameter that is not trained.

    Raises:
        CheckpointError: naming it.
    """
    if name not in known:
        raise CheckpointError(
            f"the checkpoint's optimizer knows a parameter {name} that the model does not train; "
            "resume with the configuration of the checkpoint."
        )


class LossScale:
    """The factor of an fp16 loss: halved by an overflow, doubled after 2000 good updates.

    Kept on the device, so that nobody waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), _FIRST_LOSS_SCALE, device=device)
        self._good = torch.zeros((), device=device)

    def update(self, skipped: torch.Tensor) -> None:
        """Follow an update: [] 1 if it was skipped, else 0."""
        good = (self._good + 1) * (1 - skipped)
        grow = (good >= _GOOD_UPDATES_TO_GROW).float()
        self.scale = self.scale * (1 + grow) * (1 - 0.5 * skipped)
        self._good = good * (1 - grow)

    def state(self) -> dict[str, float]:
        """Both numbers, read from the device."""
        return {"loss_scale": self.scale.item(), "good_updates": self._good.item()}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore them."""
        self.scale.fill_(state["loss_scale"])
        self._good.fill_(state["good_updates"])
