"""Two plain recurrent encoders, one in each direction."""

from __future__ import annotations

from uer.encoders._recurrent import TwoWayEncoder
from uer.encoders.rnn import RNNEncoder


class BiRNNEncoder(TwoWayEncoder):
    """A forward and a backward recurrent network that do not mix (as ELMo, arXiv:1802.05365)."""

    stack = RNNEncoder
