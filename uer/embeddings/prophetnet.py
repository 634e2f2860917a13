"""What the streams of a ProphetNet decoder start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.embeddings.pos import PositionEmbedding
from uer.embeddings.word import WordEmbedding
from uer.errors import DataError
from uer.glossary import Dropout as DropoutRate
from uer.glossary import EmbSize, MaxSeqLength, PositionOffset
from uer.layers.base import Norm
from uer.layers.dropout import Dropout
from uer.layers.linear import table
from uer.signature import Factory, Given, default
from uer.states import States


class ProphetNetEmbedding(Embedding):
    """Words and positions, and for each predicting stream a vector at the next position.

    A predicting stream does not know its token; it starts from a learnt vector of its own and the
    position of what it predicts (arXiv:2001.04063). So rows are one token shorter than the table.
    """

    first = True

    def __init__(
        self,
        *,
        vocab_size: Given[int],
        emb_size: EmbSize,
        max_seq_length: MaxSeqLength = 512,
        position_offset: PositionOffset = 0,
        ngram: Annotated[int, "predicting streams: how many tokens are predicted at once"] = 2,
        layernorm: Factory[Norm] = default("normal"),
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__()
        self.output_size = emb_size
        self.word = WordEmbedding(vocab_size=vocab_size, emb_size=emb_size)
        self.pos = PositionEmbedding(
            emb_size=emb_size, max_seq_length=max_seq_length, position_offset=position_offset
        )
        self.streams = table(ngram, emb_size)
        self.norm = layernorm(size=emb_size)
        self.dropout = Dropout(dropout)

    @property
    def table(self) -> nn.Parameter:
        """[V, E] the word table."""
        return self.word.table

    def share(self, table: nn.Parameter) -> bool:
        """Use another side's word table."""
        return self.word.share(table)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``ids`` [B, T].

        Returns:
            States with hidden [B, T, E] and ``extras["stream_starts"]`` [B, n, T, E].

        Raises:
            DataError: there is no position behind the last token.
        """
        assert states is None, "prophetnet reads the batch, so it stands first"
        main = self.pos(batch, self.word(batch, None))
        # Stream i starts from row i - 1, the first one from the last row: so checkpoints have it.
        starts = self.streams.roll(1, 0)[:, None] + self._following(main)[:, None]
        starts = starts.expand(len(main.hidden), -1, -1, -1)
        every = torch.cat([main.hidden[:, None], starts], 1)
        every = self.dropout(self.norm(every))
        return replace(main, hidden=every[:, 0], extras={"stream_starts": every[:, 1:]})

    def _following(self, states: States) -> torch.Tensor:
        """[B or 1, T, E] of the positions one further."""
        rows, length = self.pos.weight[self.pos.offset :], states.hidden.shape[1]
        if length + 1 > rows.shape[0]:
            raise DataError(
                f"a target row of {length} tokens needs {length + 1} positions, the model has "
                f"{rows.shape[0]}; lower --tgt_seq_length or raise max_seq_length."
            )
        if states.position is None:
            return rows[None, 1 : length + 1]
        return F.embedding(states.position + 1, rows)
