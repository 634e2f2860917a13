"""Segment embeddings."""

from __future__ import annotations

from typing import Annotated

from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.glossary import EmbSize
from uer.layers.linear import table
from uer.states import States


class SegmentEmbedding(Embedding):
    """One learnt vector for each segment type: which sentence of a pair a token belongs to."""

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        segments_num: Annotated[int, "segment types, numbered from 0"] = 2,
    ) -> None:
        super().__init__()
        self.output_size = emb_size
        self.weight = table(segments_num, emb_size)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Add segments to hidden [B, L, E]; without segments every token is of type 0."""
        assert states is not None, "seg adds to what stands before it"
        if states.segment is None:
            return states.with_hidden(states.hidden + self.weight[0])
        return states.with_hidden(states.hidden + F.embedding(states.segment, self.weight))
