"""The gated convolutional encoder."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.components import Encoder
from uer.errors import ConfigError
from uer.glossary import HiddenSize, LayersNum
from uer.signature import Given
from uer.states import States


class GatedCNNEncoder(Encoder):
    """Causal convolutions, each weighted by a gate: conv(x) · sigmoid(gate(x)) (arXiv:1612.08083).

    A token sees itself and what stands before it, so padding behind a text changes nothing.
    """

    def __init__(
        self,
        *,
        input_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        kernel_size: Annotated[int, "tokens that a convolution sees, itself the last of them"],
        block_size: Annotated[int, "layers that a residual connection bridges"],
    ) -> None:
        super().__init__()
        problems = [
            f"{key}: {value} must be at least 1."
            for key, value in (("kernel_size", kernel_size), ("block_size", block_size))
            if value < 1
        ]
        if problems:
            raise ConfigError(problems)
        self.output_size, self.block_size = hidden_size, block_size
        self.entry = self.gated(input_size, hidden_size, kernel_size)
        self.layers = nn.ModuleList(
            self.gated(hidden_size, hidden_size, kernel_size) for _ in range(layers_num - 1)
        )

    def gated(self, input_size: int, hidden_size: int, kernel_size: int) -> nn.Module:
        """One layer."""
        return GatedConvolution(
            CausalConvolution(input_size, hidden_size, kernel_size),
            CausalConvolution(input_size, hidden_size, kernel_size),
        )

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]."""
        hidden = bridged = self.entry(states.hidden.transpose(1, 2))
        for number, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden)
            if number % self.block_size == 0:
                hidden = bridged = hidden + bridged
        return states.with_hidden(hidden.transpose(1, 2))


class GatedConvolution(nn.Module):
    """Two convolutions of one input; the second decides how much of the first passes.

    Args:
        conv: what may pass.
        gate: how much of it, before the sigmoid.
    """

    def __init__(self, conv: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.conv, self.gate = conv, gate

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, C, L] → [B, H, L]."""
        return self.conv(hidden) * torch.sigmoid(self.gate(hidden))


class CausalConvolution(nn.Conv1d):
    """A convolution over a token and the ``kernel_size - 1`` before it; zeros precede the text."""

    def reset_parameters(self) -> None:
        """Kaiming's normal distribution, as in the paper; the bias starts at zero."""
        nn.init.kaiming_normal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[B, C, L] → [B, H, L]."""
        return super().forward(F.pad(input, (self.kernel_size[0] - 1, 0)))

    def no_decay(self) -> list[nn.Parameter]:
        """The bias."""
        return [value for name, value in self.named_parameters() if name.startswith("bias")]
