"""Regions of an image and a text in one sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import DataError
from uer.glossary import BoxSize, RegionSize
from uer.layers.linear import Linear
from uer.signature import Factory, default
from uer.states import States


class RegionEmbedding(Embedding):
    """Regions that a detector found, then the tokens of a text (VLP, arXiv:1909.11059).

    A region is what the detector says of its pixels, plus what is said of its box: corners, size,
    classes, whatever the data hold. The text is embedded by a part of its own. The regions stand
    first, so that a text that is written from left to right sees them and they see nothing of it;
    they are the prefix of the sequence. Labels and documents count in the text. A region whose
    features are all zero is padding.

    The regions are of the segment before the text's: 0 before a text of segment 1, 2 before one of
    segment 3.
    """

    first = True

    def __init__(
        self,
        *,
        text_embedding: Factory[Embedding] = default("word"),
        region_size: RegionSize = 2048,
        region_hidden_size: Annotated[
            int, "inner width of the two maps of the regions' features"
        ] = 2048,
        box_size: BoxSize = 5,
    ) -> None:
        super().__init__()
        self.text = text_embedding()
        self.output_size = self.text.output_size
        self.sizes = {"regions": region_size, "boxes": box_size}
        self.features = nn.Sequential(
            Linear(region_size, region_hidden_size),
            nn.ReLU(),
            Linear(region_hidden_size, self.output_size),
            nn.ReLU(),
        )
        self.boxes = nn.Sequential(Linear(box_size, self.output_size), nn.ReLU())

    @property
    def table(self) -> nn.Parameter | None:
        """[V, E] the word table."""
        return self.text.table

    def share(self, table: nn.Parameter) -> bool:
        """Use another side's word table."""
        return self.text.share(table)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``regions`` [B, R, N], ``boxes`` [B, R, K] and a text of T tokens.

        Returns:
            States with hidden [B, R + T, E].

        Raises:
            DataError: the regions are not as wide as the model reads them.
        """
        assert states is None, "region reads the batch, so it stands first"
        regions, boxes = (self._checked(batch, name) for name in ("regions", "boxes"))
        text = self.text(batch, None)
        seen = self.features(regions) + self.boxes(boxes)
        rows, count, length = *seen.shape[:2], text.hidden.shape[1]
        real = regions.abs().sum(-1) > 0

        def joined(of_regions: torch.Tensor, of_text: torch.Tensor | None) -> torch.Tensor:
            if of_text is None:
                of_text = torch.ones(rows, length, dtype=torch.bool, device=seen.device)
            return torch.cat([of_regions, of_text], 1)

        segment = None
        if text.segment is not None:
            before = (text.segment[:, :1] - 1).clamp(min=0).expand(-1, count)
            segment = torch.cat([before, text.segment], 1)
        start = count + torch.arange(rows, device=seen.device) * (count + length)
        return replace(
            text,
            hidden=torch.cat([seen.to(text.hidden.dtype), text.hidden], 1),
            position=None,  # of the sequence: what a text may see is a matter of places in it
            segment=segment,
            validity=joined(real, text.validity),
            prefix=None if text.prefix is None else joined(real, text.prefix),
            first=start if batch.get("first") is None else batch["first"],
            length=text.length,
            indexed=slice(count, count + length),
            parts={"image": slice(0, count), "text": slice(count, count + length)},
        )

    def _checked(self, batch: Batch, name: str) -> torch.Tensor:
        values, size = batch[name], self.sizes[name]
        if values.shape[-1] != size:
            key = "region_size" if name == "regions" else "box_size"
            raise DataError(
                f"the {name} of the data are {values.shape[-1]} wide, the model reads {size}; "
                f"set {key} to {values.shape[-1]}."
            )
        return values
