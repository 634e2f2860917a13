"""The part of training that differs between one device and many.

The loop in `uer.training.trainer` is written once against `Engine`; everything that talks to other
processes stands behind it. No method but `state` makes the host wait for the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import CheckpointError, ConfigError
from uer.optimizers.base import Named, set_learning_rate
from uer.score import Score
from uer.training.machine import DTYPES, Arithmetic

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

    def on_update(self, step: int, total: int) -> None:
        """Called after update ``step`` (from 1) of ``total``."""
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
        device: where batches go.
        model: the module to call, after `prepare`.
        optimizer: of its parameters, after `prepare`.
        is_main: this process writes files and logs.
    """

    device: torch.device
    model: nn.Module
    optimizer: torch.optim.Optimizer
    is_main: bool

    @abstractmethod
    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """Bring the model to its device, then make the optimizer of its parameters.

        Raises:
            ConfigError: the optimizer cannot skip an update on the device.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Score]:
        """Run the model on a batch of this device in the chosen precision."""

    @abstractmethod
    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""

    @abstractmethod
    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""

    @abstractmethod
    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Add a micro-batch's gradients.

        Args:
            loss: [] its share of the loss of the whole update, over all ranks.
            last: it is the update's last micro-batch: gradients are exchanged now.
        """

    @abstractmethod
    def step(self, learning_rate: float) -> StepReport:
        """Clip, update unless a gradient is not finite, and clear the gradients."""

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """The whole model's ``state_dict``."""

    @abstractmethod
    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """``"<quantity>/<parameter>"`` → tensor."""

    @abstractmethod
    def load_optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore what `optimizer_state` returned.

        Raises:
            CheckpointError: it belongs to other parameters.
        """

    @abstractmethod
    def state(self) -> dict[str, float]:
        """What else the engine has to remember."""

    @abstractmethod
    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore what `state` returned."""


class SingleDevice(Engine):
    """One process, one device.

    Args:
        device: where the model lives.
        precision: arithmetic of the forward pass. Parameters and updates are always fp32; fp16
            scales the loss, because small gradients would vanish.
        max_grad_norm: gradients are clipped to this norm; 0: never.
    """

    is_main = True

    def __init__(
        self,
        device: torch.device | str = "cpu",
        precision: Arithmetic = "fp32",
        max_grad_norm: float = 1.0,
    ) -> None:
        self.device = torch.device(device)
        self.precision: Arithmetic = precision
        self.max_grad_norm = max_grad_norm
        self._scaler = LossScale(self.device) if precision == "fp16" else None

    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """See `Engine.prepare`."""
        self.model = model.to(self.device)
        self.optimizer = make()
        if not getattr(self.optimizer, "_step_supports_amp_scaling", False):
            raise ConfigError(
                [
                    f"the optimizer {type(self.optimizer).__name__} cannot skip an update on the "
                    "device: its step has to honour grad_scale and found_inf (uer.optimizers.base)."
                ]
            )

    def forward(self, batch: Batch) -> dict[str, Score]:
        """See `Engine.forward`."""
        low = self.precision != "fp32"
        with torch.autocast(self.device.type, DTYPES[self.precision] if low else None, enabled=low):
            scores: dict[str, Score] = self.model(batch)
        return scores

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """See `Engine.sum_over_ranks`."""
        return values

    def any_rank(self, flag: bool) -> bool:
        """See `Engine.any_rank`."""
        return flag

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """See `Engine.backward`."""
        (loss if self._scaler is None else loss * self._scaler.scale).backward()

    def step(self, learning_rate: float) -> StepReport:
        """See `Engine.step`.

        Clipping is left to the optimizer's own division by ``grad_scale``: it reads the gradients
        anyway.
        """
        set_learning_rate(self.optimizer, learning_rate)
        scaled = torch.nn.utils.get_total_norm(self._gradients()).to(self.device, torch.float32)
        divisor = torch.ones_like(scaled) if self._scaler is None else self._scaler.scale
        norm = scaled / divisor
        skipped = (~torch.isfinite(norm)).float()
        if self.max_grad_norm:
            divisor = divisor * (norm / self.max_grad_norm).clamp(min=1.0)
        self.optimizer.grad_scale = divisor  # pyright: ignore[reportAttributeAccessIssue]
        self.optimizer.found_inf = skipped  # pyright: ignore[reportAttributeAccessIssue]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._scaler is not None:
            self._scaler.update(skipped)
        return StepReport(norm, skipped)

    def weights(self) -> dict[str, torch.Tensor]:
        """See `Engine.weights`."""
        return self.model.state_dict()

    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """See `Engine.optimizer_state`."""
        return {
            f"{quantity}/{name}": value
            for name, param in self._named_parameters()
            for quantity, value in self.optimizer.state.get(param, {}).items()
        }

    def load_optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Engine.load_optimizer_state`."""
        numbers = {name: number for number, (name, _) in enumerate(self._named_parameters())}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            quantity, _, name = key.partition("/")
            if name not in numbers:
                raise CheckpointError(
                    f"the checkpoint's optimizer knows a parameter {name} that the model does not "
                    "train; resume with the configuration of the checkpoint."
                )
            state.setdefault(numbers[name], {})[quantity] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def state(self) -> dict[str, float]:
        """See `Engine.state`."""
        return {} if self._scaler is None else self._scaler.state()

    def load_state(self, state: Mapping[str, float]) -> None:
        """See `Engine.load_state`."""
        if self._scaler is not None and state:
            self._scaler.load_state(state)

    def _gradients(self) -> Iterable[torch.Tensor]:
        return [
            p.grad for g in self.optimizer.param_groups for p in g["params"] if p.grad is not None
        ]

    def _named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        for group in self.optimizer.param_groups:
            yield from zip(group["param_names"], group["params"], strict=True)


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
