"""What recurrent encoders share: layers of one direction, and how two directions are joined.

Padding stands behind the text, so a forward direction never meets it before the last real token;
a backward direction reads each row's real tokens in reverse (`States.reversed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from uer.components import Encoder
from uer.errors import ConfigError
from uer.glossary import Dropout as DropoutRate
from uer.glossary import HiddenSize, LayersNum
from uer.layers.dropout import Dropout
from uer.signature import Given
from uer.states import States

Cell = type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]


class RecurrentEncoder(Encoder):
    """Layers of one kind of recurrence, forward or in both directions.

    Bidirectional layers have half the width in each direction, and every layer reads both
    directions of the layer before.

    Attributes:
        cell: one layer of the recurrence, a class of torch's.
    """

    cell: ClassVar[Cell]

    def __init__(
        self,
        *,
        input_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        dropout: DropoutRate = 0.1,
        bidirectional: Annotated[
            bool, "layers read in both directions, each with half of hidden_size"
        ] = False,
    ) -> None:
        super().__init__()
        self.output_size = hidden_size
        width = half(hidden_size) if bidirectional else hidden_size
        inputs = [input_size, *[hidden_size] * (layers_num - 1)]
        self.layers = nn.ModuleList(_layer(self.cell, size, width) for size in inputs)
        self.backward_layers = (
            nn.ModuleList(_layer(self.cell, size, width) for size in inputs)
            if bidirectional
            else None
        )
        self.dropout = Dropout(dropout)

    @classmethod
    def looks_ahead(cls, keys: Mapping[str, Any]) -> bool:
        """In both directions."""
        return bool(keys.get("bidirectional"))

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]."""
        hidden = states.hidden
        for number, layer in enumerate(self.layers):
            ahead = layer(hidden)[0]
            if self.backward_layers is not None:
                back = self.backward_layers[number](states.reversed(hidden))[0]
                ahead = torch.cat((ahead, states.reversed(back)), -1)
            hidden = self.dropout(ahead)
        return states.with_hidden(hidden)

    def no_decay(self) -> list[nn.Parameter]:
        """The biases of the layers, which are torch's and cannot say so themselves."""
        return [value for name, value in self.named_parameters() if ".bias_" in name]


class TwoWayEncoder(Encoder):
    """Two stacks that read in opposite directions and never mix (ELMo, arXiv:1802.05365).

    Each has half of hidden_size; the first half of the result knows what came before a token, the
    second half what follows it.

    Attributes:
        stack: the encoder of one direction.
    """

    stack: ClassVar[type[RecurrentEncoder]]

    def __init__(
        self,
        *,
        input_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__()
        self.output_size = hidden_size

        def stack() -> RecurrentEncoder:
            return self.stack(
                input_size=input_size,
                hidden_size=half(hidden_size),
                layers_num=layers_num,
                dropout=dropout,
            )

        self.ahead, self.back = stack(), stack()

    @classmethod
    def looks_ahead(cls, keys: Mapping[str, Any]) -> bool:
        """With the half that reads backwards."""
        return True

    def forward(self, states: States) -> States:
        """Encode hidden [B, L, input_size] into [B, L, H]: both halves side by side."""
        ahead = self.ahead(states).hidden
        back = self.back(states.with_hidden(states.reversed(states.hidden))).hidden
        return states.with_hidden(torch.cat((ahead, states.reversed(back)), -1))


def half(hidden_size: int) -> int:
    """The width of one of two directions.

    Raises:
        ConfigError: the width is odd.
    """
    if hidden_size % 2:
        raise ConfigError(
            [f"hidden_size: {hidden_size} is odd; two directions share it, each half of it."]
        )
    return hidden_size // 2


def _layer(cell: Cell, input_size: int, hidden_size: int) -> nn.RNNBase:
    """One layer; the weights keep torch's scale, which follows the width, biases start at zero."""
    made = cell(input_size, hidden_size, batch_first=True)
    for name, value in made.named_parameters():
        if name.startswith("bias_"):
            nn.init.zeros_(value)
    return made
