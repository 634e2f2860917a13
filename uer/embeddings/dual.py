"""Two embeddings side by side."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import DataError
from uer.glossary import TieStreams
from uer.layers.streams import pair
from uer.states import States


class DualEmbedding(Embedding):
    """Two streams, each embedded by itself: sides ``src.0`` and ``src.1`` of the batch.

    The sections ``stream_0`` and ``stream_1`` say for each stream what differs from the rest of the
    configuration; the dual encoder reads the same sections.
    """

    first = True

    def __init__(
        self, *, stream_0: Embedding, stream_1: Embedding, tie_streams: TieStreams = False
    ) -> None:
        super().__init__()
        self.streams = pair(stream_0, stream_1, tied=tie_streams)
        self.output_size = stream_0.output_size
        self.output_sizes = (stream_0.output_size, stream_1.output_size)
        self.packable = stream_0.packable and stream_1.packable

    @property
    def table(self) -> nn.Parameter | None:
        """[V, E] the word table of the first stream."""
        first = self.streams[0]
        assert isinstance(first, Embedding)
        return first.table

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed both streams; hidden [B, L, E] is the first's.

        Raises:
            DataError: the batch has one side only.
        """
        assert states is None, "dual reads the batch"
        sides = [batch.side(str(number)) for number in range(len(self.streams))]
        if not all(sides):
            raise DataError(
                "embedding 'dual' reads two streams (src.0 and src.1), and the batch has one side; "
                "choose a data processor that makes pairs."
            )
        pairs = zip(self.streams, sides, strict=True)
        streams = tuple(embedding(side, None) for embedding, side in pairs)
        return replace(streams[0], streams=streams)
