"""The GRU encoder."""

from __future__ import annotations

from torch import nn

from uer.encoders._recurrent import RecurrentEncoder


class GRUEncoder(RecurrentEncoder):
    """Gated recurrent units (arXiv:1406.1078)."""

    cell = nn.GRU
