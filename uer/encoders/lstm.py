"""The LSTM encoder."""

from __future__ import annotations

from torch import nn

from uer.encoders._recurrent import RecurrentEncoder


class LSTMEncoder(RecurrentEncoder):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997)."""

    cell = nn.LSTM
