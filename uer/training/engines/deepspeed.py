"""DeepSpeed's ZeRO."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Part
from uer.errors import ConfigError, UserError
from uer.optimizers.base import set_learning_rate
from uer.score import Score
from uer.training.deepspeed_config import completed, divides_rounded
from uer.training.engine import Engine, StepReport, require_parameter
from uer.training.engines._opened import opened
from uer.training.lazy import Lazy, lazy

_ELEMENTWISE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


class DeepSpeed(Engine):
    """DeepSpeed's ZeRO, stages 1 to 3: optimizer state, gradients, parameters are divided.

    (arXiv:1910.02054.) The training loop stays ours: DeepSpeed adds gradients up until `step`.
    Whether a gradient was not finite is known on the host, which DeepSpeed makes wait.
    """

    _api: Any  # the library
    _runner: Any  # its engine
    _zero: Any  # its optimizer

    def prepare(self, model: nn.Module, make: Callable[[], torch.optim.Optimizer]) -> None:
        """See `Engine.prepare`.

        Raises:
            UserError: DeepSpeed is not installed, or refuses what its file says.
        """
        self._api = _imported(self.device)
        config = completed(
            self.config,
            precision=self.precision,
            max_grad_norm=self.max_grad_norm,
            device=self.device.type,
        )
        self.whole: Any = model.to(self.device)
        self._names = dict(self.whole.named_parameters())
        exact: dict[str, torch.Tensor] = {}
        if divides_rounded(config):
            exact = {name: param.detach().clone() for name, param in self._trained(self._names)}
        if config.get("optimizer") is None:
            own = make()
            require_elementwise(own)
            options: dict[str, Any] = {"optimizer": own}
        else:
            options = {"model_parameters": self._as_the_file_says(config["optimizer"])}
        closed = None
        self._shapes = {id(param): tuple(param.shape) for param in self._names.values()}
        if config["zero_optimization"]["stage"] == 3:
            widen_numbers(model)
            closed = opened(model)
        with _numbers_left_alone(model):
            try:
                self._runner, *_ = self._api.initialize(
                    model=model, config=config, dist_init_required=False, **options
                )
            except (AssertionError, ValueError, TypeError, RuntimeError) as error:
                raise UserError(f"DeepSpeed refuses its configuration: {error}") from error
        if closed is not None:
            closed()
        self.model, self._zero = self._runner, self._runner.optimizer
        self.optimizer = self._zero.optimizer
        for name, value in exact.items():
            self._set(self._names[name], value, None)

    def forward(self, batch: Batch, *, last: bool = True) -> dict[str, Score]:
        """See `Engine.forward`."""
        with self.autocast():
            scores: dict[str, Score] = self.model(batch)
        return scores

    def backward(self, loss: torch.Tensor) -> None:
        """See `Engine.backward`; the exchange takes the mean, a share wants the sum."""
        self._runner.backward(loss * self.processes.world)

    def step(self, learning_rate: float) -> StepReport:
        """See `Engine.step`."""
        set_learning_rate(self.optimizer, learning_rate)
        self._runner.step()
        skipped = not self._runner.was_step_applied()
        norm = float("nan") if skipped else float(self._runner.get_global_grad_norm())
        return StepReport(
            torch.tensor(norm, device=self.device),
            torch.tensor(float(skipped), device=self.device),
        )

    def lazy_weights(self) -> dict[str, Lazy]:
        """See `Engine.lazy_weights`; of trained parameters the exact ones of the optimizer."""
        trained = {id(self._names[name]) for name, _ in self._trained(self._names)}
        found: dict[int, Lazy] = {}
        weights = {}
        for name, value in self.whole.state_dict(keep_vars=True).items():
            if id(value) not in found:
                found[id(value)] = self._weight(value, id(value) in trained)
            weights[name] = found[id(value)]
        return weights

    def lazy_optimizer_state(self) -> dict[str, Lazy]:
        """See `Engine.lazy_optimizer_state`."""
        state: dict[str, Lazy] = {}
        numbers: dict[str, torch.Tensor] = {}
        self._link()
        for name, param in self._trained(self._names):
            flat = self._flat_of(param)
            for quantity, value in self._zero.optimizer.state.get(flat, {}).items():
                key = f"{quantity}/{name}"
                if torch.is_tensor(value) and value.shape == flat.shape:
                    get = self._api.utils.safe_get_full_optimizer_state
                    state[key] = self._exact(param, partial(get, param, quantity))
                else:
                    numbers[key] = torch.as_tensor(value, dtype=torch.float32).clone()
        return {**state, **lazy(numbers)}

    def load_optimizer_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """See `Engine.load_optimizer_state`."""
        for key, value in tensors.items():
            quantity, _, name = key.partition("/")
            require_parameter(name, self._names)
            flat = self._flat_of(self._names[name])
            state = self._zero.optimizer.state[flat]
            if value.numel() == 1 and quantity == "step":
                state[quantity] = self._as_step(value)
            elif quantity not in state:
                state[quantity] = torch.zeros_like(flat)
        self._link()
        for key, value in tensors.items():
            quantity, _, name = key.partition("/")
            if quantity != "step":
                self._set(self._names[name], value, quantity)

    def edit(self, change: Callable[[], None]) -> None:
        """See `Engine.edit`; a change must reach the divided copy that the optimizer works on."""
        params = [param for param in self._edited() if param.requires_grad]
        divided = [param for param in params if hasattr(param, "ds_id")]
        with self._api.zero.GatheredParameters(divided, modifier_rank=0, enabled=bool(divided)):
            before = [param.detach().clone() for param in params]
            change()
            after = [param.detach().clone() for param in params]
        for param, old, new in zip(params, before, after, strict=True):
            if not torch.equal(old, new):
                self._set(param, new, None)

    def state(self) -> dict[str, float]:
        """See `Engine.state`."""
        scaler = self._zero.loss_scaler
        if self.precision != "fp16":
            return {}
        return {"loss_scale": float(scaler.cur_scale)}

    def load_state(self, state: Mapping[str, float]) -> None:
        """See `Engine.load_state`."""
        if self.precision == "fp16" and "loss_scale" in state:
            self._zero.loss_scaler.cur_scale = state["loss_scale"]

    def _as_the_file_says(self, block: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Groups for the optimizer that DeepSpeed makes: its decay where the model wants decay."""
        decay = (block.get("params") or {}).get("weight_decay", 0.0)
        groups = self.whole.decay_groups()
        return [
            {"params": [param for _, param in named], "weight_decay": rate}
            for named, rate in zip(groups, (decay, 0.0), strict=True)
            if named
        ]

    def _edited(self) -> Iterator[Any]:
        """Own parameters of the parts that do something after an update."""
        for module in self.whole.modules():
            if isinstance(module, Part) and type(module).on_update is not Part.on_update:
                yield from module.parameters(recurse=False)

    def _trained(self, values: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        return ((n, values[n]) for n, param in self._names.items() if param.requires_grad)

    def _flat_of(self, param: Any) -> torch.Tensor:
        """The flat tensor of this process that holds its part of a parameter."""
        zero = self._zero
        if hasattr(param, "ds_id"):
            number, *_ = zero.grad_position[zero.get_param_id(param)]
            return zero.fp32_partitioned_groups_flat[number]
        groups = enumerate(zero.bit16_groups)
        number = next(i for i, group in groups if any(param is member for member in group))
        return zero.single_partition_of_fp32_groups[number]

    def _link(self) -> None:
        """Tell stages 1 and 2 where in the flat state a parameter's part is, of every group."""
        if not hasattr(self._zero, "single_partition_of_fp32_groups"):
            return
        state = self._zero.optimizer.state
        flats = self._zero.single_partition_of_fp32_groups
        for group, flat in zip(self._zero.bit16_groups, flats, strict=True):
            if state.get(flat):
                self._api.utils.lazy_init_hp_params_optimizer_state(group, flat, state)

    def _set(self, param: Any, value: torch.Tensor, quantity: str | None) -> None:
        """Keep this process's part of a whole tensor: of the parameter, or of a state of it."""
        utils, value = self._api.utils, value.to(self.device, torch.float32)
        if not hasattr(param, "ds_id"):
            if quantity is None:
                utils.safe_set_full_fp32_param(param, value)
            else:
                utils.safe_set_full_optimizer_state(param, value, quantity)
            return
        size = param.ds_tensor.numel()
        padded = value.new_zeros(size * self.processes.world)
        padded[: value.numel()] = value.flatten()
        part = padded[size * self.processes.rank :][:size]
        if quantity is None:
            utils.safe_set_local_fp32_param(param, part)
        else:
            utils.safe_set_local_optimizer_state(param, part, quantity)

    def _as_step(self, value: torch.Tensor) -> torch.Tensor | int:
        """The count of updates as the optimizer keeps it: torch's as a tensor."""
        if type(self.optimizer).__module__.startswith("deepspeed"):
            return int(value)
        return value.to(self.device, copy=True)

    def _weight(self, value: Any, trained: bool) -> Lazy:
        if trained:
            return self._exact(value, partial(self._api.utils.safe_get_full_fp32_param, value))
        if not hasattr(value, "ds_id"):
            return Lazy(tuple(value.shape), value.dtype, value.detach)
        shape = self._shapes.get(id(value), tuple(value.ds_shape))

        def gather() -> torch.Tensor:
            with self._api.zero.GatheredParameters([value]):
                return value.detach().clone().view(shape)

        return Lazy(shape, value.dtype, gather)

    def _exact(self, param: Any, gather: Callable[[], torch.Tensor]) -> Lazy:
        """A tensor of a parameter's shape that DeepSpeed brings together."""
        shape = self._shapes[id(param)]
        return Lazy(shape, torch.float32, lambda: gather().float().view(shape))


def _imported(device: torch.device) -> Any:
    os.environ.setdefault("LOCAL_RANK", "0")  # it wants one even where nothing was launched
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    try:
        api = importlib.import_module("deepspeed")
        importlib.import_module("deepspeed.utils")
    except ImportError as error:
        raise UserError(
            "--engine deepspeed needs the extra 'deepspeed': pip install 'uer[deepspeed]'."
        ) from error
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)  # its import sets it, too
    # On a CPU it would compile this at the first start, for minutes and under a lock that all
    # processes of the machine share; only its inference uses it.
    api.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return api


@contextmanager
def _numbers_left_alone(model: nn.Module) -> Iterator[None]:
    """DeepSpeed sends all parameters from rank 0 at first, and fails at single numbers (0.19).

    They are equal anyway, drawn from one seed or read from one file; this attribute says so.
    """
    numbers: list[Any] = [param for param in model.parameters() if param.ndim == 0]
    for number in numbers:
        number.ds_optim_param = True
    try:
        yield
    finally:
        for number in numbers:
            del number.ds_optim_param


def widen_numbers(model: nn.Module) -> None:
    """Stage 3 of DeepSpeed 0.19 divides tensors of one dimension or more: numbers become such.

    What is computed with them does not change; checkpoints hold numbers.

    Raises:
        ConfigError: some are frozen, with which its losses would be off by a ten-thousandth.
    """
    named = model.named_parameters()
    frozen = [name for name, param in named if param.ndim == 0 and not param.requires_grad]
    if frozen:
        raise ConfigError(
            [
                f"freeze: ZeRO stage 3 does not compute exactly with single numbers that are not "
                f"trained ({', '.join(frozen)}); leave them out, or use stage 1 or 2, or "
                "--engine fsdp."
            ]
        )
    for param in model.parameters():
        if param.ndim == 0:
            param.data = param.data.view(1)


def require_elementwise(optimizer: torch.optim.Optimizer) -> None:
    """ZeRO hands the optimizer flat pieces: what looks at a whole matrix would go wrong silently.

    Raises:
        ConfigError: the optimizer does not say that it treats every number by itself.
    """
    if type(optimizer) not in _ELEMENTWISE and not getattr(optimizer, "elementwise", False):
        raise ConfigError(
            [
                f"the optimizer {type(optimizer).__name__} looks at whole tensors, and ZeRO gives "
                "it flat pieces of them; choose adamw, or --engine fsdp or ddp."
            ]
        )
