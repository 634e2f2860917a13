"""Token embeddings."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.glossary import EmbSize, ScaleEmbedding
from uer.layers.linear import table
from uer.signature import Given
from uer.states import States


class WordEmbedding(Embedding):
    """One learnt vector for every token of the vocabulary.

    A side with ``first`` and ``length`` carries them on into the States, so that poolings find the
    documents of a packed row.
    """

    first = True

    def __init__(
        self,
        *,
        vocab_size: Given[int],
        emb_size: EmbSize,
        scale_embedding: ScaleEmbedding = False,
    ) -> None:
        super().__init__()
        self.output_size = emb_size
        self.scale = emb_size**0.5 if scale_embedding else 1.0
        self.weight = table(vocab_size, emb_size)

    @property
    def table(self) -> nn.Parameter:
        """[V, E] the word table."""
        return self.weight

    def share(self, table: nn.Parameter) -> bool:
        """Use another side's word table."""
        self.weight = table
        return True

    def forward(self, batch: Batch, states: States | None) -> States:
        """Look up ``ids`` [B, L]: States with hidden [B, L, E]."""
        assert states is None, "word reads the batch, so it stands first"
        hidden = F.embedding(batch["ids"], self.weight)
        return States(
            hidden=hidden if self.scale == 1.0 else hidden * self.scale,
            position=batch.get("position"),
            segment=batch.get("segment"),
            validity=batch.get("validity"),
            document=batch.get("document"),
            prefix=batch.get("prefix"),
            order=batch.get("order"),
            query=batch.get("query"),
            first=batch.get("first"),
            length=batch.get("length"),
            parts={"text": slice(0, batch["ids"].shape[1])},
        )
