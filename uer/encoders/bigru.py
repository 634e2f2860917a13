"""Two GRU encoders, one in each direction."""

from __future__ import annotations

from uer.encoders._recurrent import TwoWayEncoder
from uer.encoders.gru import GRUEncoder


class BiGRUEncoder(TwoWayEncoder):
    """A forward and a backward GRU that do not mix (as ELMo, arXiv:1802.05365)."""

    stack = GRUEncoder
