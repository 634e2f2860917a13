"""NVIDIA apex: a fused kernel for the one Adam that torch has none for, the uncorrected one.

The project ``apex`` on PyPI is another one; NVIDIA's is installed from its repository.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal

import torch


def find_apex() -> Literal["absent", "nvidia", "other", "broken"]:
    """Which ``apex`` can be imported: NVIDIA's with its kernels, another, or NVIDIA's without."""
    try:
        spec = importlib.util.find_spec("apex")
    except ValueError:  # a module that was put there by hand
        spec = None
    if spec is None:
        return "absent"
    try:
        made_for_training = importlib.util.find_spec("apex.multi_tensor_apply") is not None
    except Exception:  # the other one imports what is not there
        made_for_training = False
    if not made_for_training:
        return "other"
    return "broken" if fused_adam() is None else "nvidia"


def fused_adam() -> Any:
    """NVIDIA's class ``FusedAdam``, or None."""
    try:
        kernels = importlib.import_module("apex.multi_tensor_apply").multi_tensor_applier
        return importlib.import_module("apex.optimizers").FusedAdam if kernels.available else None
    except Exception:  # whatever a package that is no apex, or half of one, may raise
        return None


class ApexAdamW(torch.optim.Optimizer):
    """AdamW without bias correction: NVIDIA's kernel for moments and steps, decay behind it.

    It is lent this optimizer's groups and state, so a checkpoint does not tell which of the two
    made it.

    Args:
        kernel: ``FusedAdam``.
        params: groups of parameters, all on one CUDA device.
        constants: ``lr``, ``betas``, ``eps``.
    """

    _step_supports_amp_scaling = True
    elementwise = True
    grad_scale: torch.Tensor | None = None
    found_inf: torch.Tensor | None = None

    def __init__(self, kernel: Any, params: list[dict[str, Any]], **constants: Any) -> None:
        super().__init__(params, constants)
        self._device = self.param_groups[0]["params"][0].device
        nothing = torch.nn.Parameter(torch.zeros(0, device=self._device))
        self._kernel = kernel([nothing], bias_correction=False, capturable=True, **constants)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        assert closure is None, "the training loop computes the gradients"
        self._kernel.state = self.state
        self._kernel.param_groups = [
            {
                **group,
                "lr": torch.full((), group["lr"], device=self._device),
                "weight_decay": 0.0,
                "bias_correction": False,
            }
            for group in self.param_groups
        ]
        self._kernel.step(grad_scaler=self)
        for group in self.param_groups:
            trained = [param for param in group["params"] if param.grad is not None]
            if trained and group["weight_decay"]:
                keep = 1 - group["lr"] * group["weight_decay"] * (1 - self._found())
                torch._foreach_mul_(trained, keep)  # pyright: ignore[reportPrivateImportUsage]

    def _found(self) -> torch.Tensor:
        found = self.found_inf
        return torch.zeros((), device=self._device) if found is None else found

    def _check_inf_per_device(self, _: Any) -> dict[torch.device, torch.Tensor]:
        """What the kernel asks a gradient scaler for."""
        return {self._device: self._found().reshape(1)}

    def _get_scale_async(self) -> torch.Tensor:
        """What the kernel asks a gradient scaler for."""
        scale = self.grad_scale
        return torch.ones(1, device=self._device) if scale is None else scale.reshape(1)
