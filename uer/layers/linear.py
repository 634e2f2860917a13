"""Linear maps and tables that start as the toolkit's models expect: N(0, 0.02), biases at zero."""

from __future__ import annotations

import torch
from torch import nn

from uer.errors import ConfigError
from uer.layers.product import linear

INITIAL_STD = 0.02


class Linear(nn.Linear):
    """A linear map; its bias takes no weight decay."""

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 0.02²) (BERT, arXiv:1810.04805), set the bias to zero."""
        nn.init.normal_(self.weight, std=INITIAL_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[…, K] → […, N]."""
        return linear(input, self.weight, self.bias)

    def no_decay(self) -> list[nn.Parameter]:
        """The bias."""
        return [] if self.bias is None else [self.bias]


def share_weight(layer: nn.Linear, table: nn.Parameter) -> None:
    """Let an output layer [V, E] predict with a word table.

    Raises:
        ConfigError: the table has another shape.
    """
    if table.shape != layer.weight.shape:
        raise ConfigError(
            [
                f"tie_weights: the word table {list(table.shape)} does not fit the output layer "
                f"{list(layer.weight.shape)}; make emb_size and hidden_size equal, or do not tie."
            ]
        )
    layer.weight = table


def table(rows: int, width: int) -> nn.Parameter:
    """A [rows, width] lookup table drawn from N(0, 0.02²)."""
    return nn.Parameter(nn.init.normal_(torch.empty(rows, width), std=INITIAL_STD))
