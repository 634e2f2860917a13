"""A text and an image in one sequence."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError
from uer.layers.linear import table
from uer.signature import Factory, default
from uer.states import States

_TEXT, _IMAGE = 0, 1


class WordPatchEmbedding(Embedding):
    """The tokens of a text, then the patches of an image.

    Each is embedded by a part of its own: words and patches, or lists of parts with positions of
    their own (ViLT, arXiv:2102.03334). Embeddings that follow in a list see one sequence, whose
    image is of segment 1. Labels count in the text.
    """

    first = True

    def __init__(
        self,
        *,
        text_embedding: Factory[Embedding] = default("word"),
        image_embedding: Factory[Embedding] = default("patch"),
        modality_embedding: Annotated[
            bool, "a learnt vector says of each token whether it is of the text or of the image"
        ] = False,
    ) -> None:
        super().__init__()
        self.text, self.image = text_embedding(), image_embedding()
        self.output_size = self.text.output_size
        if self.image.output_size != self.output_size:
            raise ConfigError(
                [
                    f"embedding 'word_patch': its text is {self.output_size} wide and its image "
                    f"{self.image.output_size}; give both the same emb_size."
                ]
            )
        self.modality = table(2, self.output_size) if modality_embedding else None

    @property
    def table(self) -> nn.Parameter | None:
        """[V, E] the word table."""
        return self.text.table

    def share(self, table: nn.Parameter) -> bool:
        """Use another side's word table."""
        return self.text.share(table)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``ids`` [B, T] and ``image`` [B, C, Y, X]: States with hidden [B, T + P, E]."""
        assert states is None, "word_patch reads the batch, so it stands first"
        text, image = self.text(batch, None), self.image(batch, None)
        words, patches = text.hidden, image.hidden
        if self.modality is not None:
            words, patches = words + self.modality[_TEXT], patches + self.modality[_IMAGE]
        hidden = torch.cat([words, patches], 1)
        middle, more = words.shape[1], patches.shape[1]
        segment = text.segment
        if segment is None:
            segment = torch.zeros(words.shape[:2], dtype=torch.int64, device=words.device)
        first = text.first  # counts in the text alone
        if first is not None:
            first = torch.arange(len(first), device=first.device) * hidden.shape[1]
        return States(
            hidden,
            first=first,
            length=None if first is None else torch.full_like(first, hidden.shape[1]),
            segment=F.pad(segment, (0, more), value=_IMAGE),
            validity=None if text.validity is None else F.pad(text.validity, (0, more), value=True),
            prefix=None if text.prefix is None else F.pad(text.prefix, (0, more), value=True),
            indexed=slice(0, middle),
            parts={"text": slice(0, middle), "image": slice(middle, middle + more)},
        )
