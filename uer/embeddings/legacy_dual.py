"""The predecessors' dual embedding, for checkpoints that were trained with it."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from uer.batch import Batch
from uer.components import Embedding
from uer.embeddings.dual import DualEmbedding
from uer.glossary import Dropout as DropoutRate
from uer.glossary import TieStreams
from uer.layers.dropout import Dropout
from uer.layers.norms.legacy import LegacyNorm
from uer.states import States


class LegacyDualEmbedding(DualEmbedding):
    """Streams that have a norm and dropout get both once more; tied streams keep two norms.

    `dialect: legacy` chooses it; nothing new should.
    """

    def __init__(
        self,
        *,
        stream_0: Embedding,
        stream_1: Embedding,
        tie_streams: TieStreams = False,
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__(stream_0=stream_0, stream_1=stream_1, tie_streams=tie_streams)
        self.norms = nn.ModuleList(
            nn.Identity()
            if getattr(stream, "norm", None) is None
            else LegacyNorm(size=stream.output_size)
            for stream in (stream_0, stream_1)
        )
        self.dropout = Dropout(dropout)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed both streams; hidden [B, L, E] is the first's."""
        embedded = super().forward(batch, states).streams
        streams = tuple(
            stream.with_hidden(self.dropout(norm(stream.hidden)))
            for stream, norm in zip(embedded, self.norms, strict=True)
        )
        return replace(streams[0], streams=streams)
