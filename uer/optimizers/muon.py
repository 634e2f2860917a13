"""Muon: orthogonal steps for the matrices of hidden layers (https://arxiv.org/abs/2502.16982).

A matrix moves along its momentum with all singular values brought near 1 by a Newton-Schulz
iteration (https://kellerjordan.github.io/posts/muon/), scaled to be as large as a step of
Adam: one learning rate serves both. Everything else is trained by AdamW, torch's fused one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import torch

from uer.errors import ConfigError
from uer.optimizers._step import OwnOptimizer
from uer.optimizers.base import (
    Named,
    Optimizer,
    parameter_groups,
    require,
    require_adam,
    require_beta,
)

_ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the quintic a·x + b·x³ + c·x⁵: steep at 0, near 1 at 1
_LEAST_NORM = 1e-7
_RMS_OF_ADAM = 0.2  # what Adam's updates usually have


class Muon(Optimizer):
    """Orthogonal steps for the matrices of hidden layers, AdamW for everything else.

    The model declares its hidden layers; their matrices with weight decay are Muon's. Embeddings,
    output layers, norms, biases and tensors of other shapes are AdamW's.

    Args:
        momentum: decay of the mean of gradients of matrices.
        adamw_ratio: learning rate of everything else as a factor of that of matrices.
        beta1: decay of Adam's mean of gradients.
        beta2: decay of Adam's mean of squared gradients.
        eps: added to the root of Adam's mean square.
        weight_decay: share of a weight, times the learning rate, that an update takes away.

    Raises:
        ConfigError: a constant out of its range.
    """

    def __init__(
        self,
        *,
        momentum: Annotated[float, "decay of the mean of gradients of matrices"] = 0.95,
        adamw_ratio: Annotated[
            float, "learning rate of everything else, as a factor of that of matrices"
        ] = 1.0,
        beta1: Annotated[float, "decay of Adam's mean of gradients"] = 0.9,
        beta2: Annotated[float, "decay of Adam's mean of squared gradients"] = 0.95,
        eps: Annotated[float, "added to the root of Adam's mean square"] = 1e-8,
        weight_decay: Annotated[float, "weight decay per update and unit of learning rate"] = 0.1,
    ) -> None:
        require_beta("momentum", momentum)
        require(adamw_ratio=(adamw_ratio, adamw_ratio > 0, "must be a positive number"))
        require_adam((beta1, beta2), eps, weight_decay)
        self.momentum, self.ratio = momentum, adamw_ratio
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(
        self, groups: tuple[Named, Named], learning_rate: float, hidden: Collection[str] = ()
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        decay, spared = groups
        matrices = [(name, p) for name, p in decay if name in hidden and p.dim() == 2]
        if not matrices:
            raise ConfigError(
                ["optimizer: muon trains matrices of hidden layers, the model has none; use adamw."]
            )
        mine = {name for name, _ in matrices}
        rest = ([(name, p) for name, p in decay if name not in mine], spared)
        others = parameter_groups(rest, self.weight_decay)
        params = [
            {"params": matrices, "weight_decay": self.weight_decay, "matrices": True},
            *others,
        ]
        for group in others:
            group |= {"matrices": False, "rate": self.ratio}
        return _Muon(
            params,
            lr=learning_rate,
            betas=self.betas,
            eps=self.eps,
            momentum=self.momentum,
        )


class _Muon(OwnOptimizer):
    """Groups of ``matrices`` take orthogonal steps; torch's AdamW is lent the others."""

    def __init__(self, params: list[dict[str, Any]], *, momentum: float, **adam: Any) -> None:
        self.momentum = momentum
        nothing = torch.nn.Parameter(torch.zeros(0))  # no list of parameters may be empty
        self._adamw = torch.optim.AdamW([nothing], fused=True, **adam)
        super().__init__(params, **self._adamw.defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        everything = self.param_groups
        self._adamw.param_groups = [group for group in everything if not group["matrices"]]
        self._adamw.state = self.state
        self._adamw.grad_scale = self.grad_scale  # pyright: ignore[reportAttributeAccessIssue]
        self._adamw.found_inf = self.found_inf  # pyright: ignore[reportAttributeAccessIssue]
        self._adamw.step()
        self.param_groups = [group for group in everything if group["matrices"]]
        try:
            super().step(closure)
        finally:
            self.param_groups = everything

    def update(
        self, param: torch.Tensor, grad: torch.Tensor, bad: torch.Tensor, group: dict[str, Any]
    ) -> None:
        """See `OwnOptimizer.update`; an orthogonal step."""
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        mean = state["momentum_buffer"]
        mean.lerp_(grad, torch.where(bad, 0.0, 1 - self.momentum))
        ahead = grad.lerp(mean, self.momentum)
        rate = torch.where(bad, 0.0, group["lr"])
        param.mul_(1 - rate * group["weight_decay"])
        param.sub_(rate * _RMS_OF_ADAM * max(param.shape) ** 0.5 * orthogonal(ahead))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with all singular values brought near 1: its quintic Newton-Schulz iteration.

    On a GPU in bf16, which is what the iteration was made for; elsewhere in the matrix's own type.

    Args:
        matrix: [m, n].
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.mT
    x = x / x.norm().clamp(min=_LEAST_NORM)
    if matrix.device.type == "cuda":
        x = x.bfloat16()
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x if wide else x.mT).to(matrix.dtype)
