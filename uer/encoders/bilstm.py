"""Two LSTM encoders, one in each direction."""

from __future__ import annotations

from uer.encoders._recurrent import TwoWayEncoder
from uer.encoders.lstm import LSTMEncoder


class BiLSTMEncoder(TwoWayEncoder):
    """A forward and a backward LSTM that do not mix: ELMo's encoder (arXiv:1802.05365)."""

    stack = LSTMEncoder
