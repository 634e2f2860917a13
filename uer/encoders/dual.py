"""Two encoders side by side."""

from __future__ import annotations

from dataclasses import replace

from uer.components import Encoder
from uer.errors import ConfigError
from uer.glossary import TieStreams
from uer.layers.streams import pair
from uer.signature import Factory, Given
from uer.states import States


class DualEncoder(Encoder):
    """Two streams, each through an encoder of its own, or both through one (``tie_streams``).

    The sections ``stream_0`` and ``stream_1`` say for each stream what differs from the rest of the
    configuration; the dual embedding reads the same sections. Sentence-BERT (arXiv:1908.10084) and
    CLIP (arXiv:2103.00020) are dual models with the target ``clr``.
    """

    def __init__(
        self,
        *,
        stream_0: Factory[Encoder],
        stream_1: Factory[Encoder],
        input_sizes: Given[tuple[int, ...]],
        tie_streams: TieStreams = False,
    ) -> None:
        super().__init__()
        if len(input_sizes) != 2:
            raise ConfigError(
                ["encoder 'dual' reads two streams and there is one; choose embedding: dual."]
            )
        first = stream_0.given(input_size=input_sizes[0])()
        second = stream_1.given(input_size=input_sizes[1])()
        self.streams = pair(first, second, tied=tie_streams)
        self.output_size = first.output_size
        self.output_sizes = (first.output_size, second.output_size)
        self.packable = first.packable and second.packable

    def forward(self, states: States) -> States:
        """Encode both streams; hidden [B, L, H] is the first's."""
        pairs = zip(self.streams, states.streams, strict=True)
        streams = tuple(encoder(stream) for encoder, stream in pairs)
        return replace(streams[0], streams=streams)
