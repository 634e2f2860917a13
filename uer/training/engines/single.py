"""One process, one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import ConfigError
from uer.optimizers.base import set_learning_rate
from uer.score import Score
from uer.training.engine import Engine, LossScale, StepReport, require_parameter
from uer.training.lazy import Lazy, lazy


class SingleDevice(Engine):
    """One process, one device; the host never waits for it.

    fp16 scales the loss, because small gradients would vanish.
    """

    distributed = False
    plain = True
    _scaler: LossScale | None = None

    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """See `Engine.prepare`."""
        self._scaler = LossScale(self.device) if self.precision == "fp16" else None
        self.model = model.to(self.device)
        self.optimizer = make()
        require_skipping(self.optimizer)

    def forward(self, batch: Batch, *, last: bool = True) -> dict[str, Score]:
        """See `Engine.forward`."""
        with self.autocast():
            scores: dict[str, Score] = self.model(batch)
        return scores

    def backward(self, loss: torch.Tensor) -> None:
        """See `Engine.backward`."""
        (loss if self._scaler is None else loss * self._scaler.scale).backward()

    def step(self, learning_rate: float) -> StepReport:
        """See `Engine.step`.

        Clipping is left to the optimizer's own division by ``grad_scale``: it reads the gradients
        anyway.
        """
        set_learning_rate(self.optimizer, learning_rate)
        scaled = self.total_norm().to(self.device, torch.float32)
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

    def lazy_weights(self) -> dict[str, Lazy]:
        """See `Engine.lazy_weights`."""
        return lazy(self.model.state_dict())

    def lazy_optimizer_state(self) -> dict[str, Lazy]:
        """See `Engine.lazy_optimizer_state`."""
        return lazy(self.own_optimizer_state())

    def load_optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Engine.load_optimizer_state`."""
        places = {name: (n, param) for n, (name, param) in enumerate(self.named_parameters())}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            quantity, _, name = key.partition("/")
            require_parameter(name, places)
            number, param = places[name]
            state.setdefault(number, {})[quantity] = self.own_part(value, param)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def state(self) -> dict[str, float]:
        """See `Engine.state`."""
        return {} if self._scaler is None else self._scaler.state()

    def load_state(self, state: Mapping[str, float]) -> None:
        """See `Engine.load_state`."""
        if self._scaler is not None and state:
            self._scaler.load_state(state)

    def total_norm(self) -> torch.Tensor:
        """[] norm of all gradients of the whole model."""
        return torch.nn.utils.get_total_norm(self.gradients())

    def own_part(self, value: torch.Tensor, param: nn.Parameter) -> torch.Tensor:
        """What this process keeps of a whole tensor of a parameter's optimizer state."""
        return value

    def own_optimizer_state(self) -> dict[str, torch.Tensor]:
        """``"<quantity>/<parameter>"`` → what this process holds of it."""
        return {
            f"{quantity}/{name}": value
            for name, param in self.named_parameters()
            for quantity, value in self.optimizer.state.get(param, {}).items()
        }

    def gradients(self) -> list[torch.Tensor]:
        """Of all parameters that have one."""
        groups = self.optimizer.param_groups
        return [p.grad for g in groups for p in g["params"] if p.grad is not None]

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """What the optimizer trains, by the model's own names."""
        for group in self.optimizer.param_groups:
            yield from zip(group["param_names"], group["params"], strict=True)


def require_skipping(optimizer: torch.optim.Optimizer) -> None:
    """The optimizer leaves everything as it is where the device found a bad gradient.

    Raises:
        ConfigError: it cannot.
    """
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        raise ConfigError(
            [
                f"the optimizer {type(optimizer).__name__} cannot skip an update on the "
                "device: its step has to honour grad_scale and found_inf (uer.optimizers.base)."
            ]
        )
