"""Acoustic frames as they are."""

from __future__ import annotations

from uer.batch import Batch
from uer.components import Embedding
from uer.glossary import AudioFeatureSize, EmbSize
from uer.layers.linear import Linear
from uer.layers.subsampling import validity_of
from uer.states import States


class FrameEmbedding(Embedding):
    """A linear map of each acoustic frame (TERA, arXiv:2007.06028)."""

    first = True

    def __init__(self, *, emb_size: EmbSize, audio_feature_size: AudioFeatureSize = 80) -> None:
        super().__init__()
        self.output_size = emb_size
        self.projection = Linear(audio_feature_size, emb_size)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``frames`` [B, F, M]: States with hidden [B, F, E]."""
        assert states is None, "frame reads the batch, so it stands first"
        hidden, length = self.projection(batch["frames"]), batch.get("length")
        validity = None if length is None else validity_of(length, hidden.shape[1])
        return States(hidden=hidden, validity=validity, length=length)
