"""The plain recurrent encoder."""

from __future__ import annotations

from torch import nn

from uer.encoders._recurrent import RecurrentEncoder


class RNNEncoder(RecurrentEncoder):
    """Each state is the tanh of a map of the token and the state before (Elman, 1990)."""

    cell = nn.RNN
