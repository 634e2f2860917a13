"""Learnt absolute positions."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import DataError
from uer.glossary import EmbSize, MaxSeqLength, PositionOffset
from uer.grid import stretch
from uer.layers.linear import table
from uer.states import States

Interpolation = Annotated[
    Literal["bicubic", "bilinear_corners"],
    "how positions of patches are stretched over images of another size (ViLT: bilinear_corners)",
]


class PositionEmbedding(Embedding):
    """One learnt vector for every position; positions restart with each packed document.

    Where the sequence is an image of another size than the model was made for, the table is
    stretched over it.
    """

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        max_seq_length: MaxSeqLength = 512,
        position_offset: PositionOffset = 0,
        position_interpolation: Interpolation = "bicubic",
    ) -> None:
        super().__init__()
        self.output_size = emb_size
        self.corners = position_interpolation == "bilinear_corners"
        self.offset = position_offset
        self.weight = table(max_seq_length + position_offset, emb_size)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Add positions to hidden [B, L, E].

        Raises:
            DataError: the row is longer than the table.
        """
        assert states is not None, "pos adds to what stands before it"
        length = states.hidden.shape[1]
        rows = self._rows(states)
        if length > rows.shape[0] and states.order is None:  # copies have others' positions
            raise DataError(
                f"a row of {length} tokens is longer than the model's {rows.shape[0]} "
                "positions; lower --seq_length or raise max_seq_length."
            )
        if states.position is None:
            return states.with_hidden(states.hidden + rows[:length])
        return states.with_hidden(states.hidden + F.embedding(states.position, rows))

    def _rows(self, states: States) -> torch.Tensor:
        """The vector of every position."""
        rows = self.weight[self.offset :]
        if states.grid is None or not states.grid.stretched:
            return rows
        return stretch(rows, states.grid, corners=self.corners)
