"""Masked images for a teacher that sees them whole (data2vec, https://arxiv.org/abs/2202.03555)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import ImageMaskRate, PatchSize
from uer.images.base import Images
from uer.processors._media import Decoded
from uer.processors._patch_masks import blocks, grid_of, require_rate
from uer.processors._patches import PatchProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default


class Data2Vec(PatchProcessor):
    """Images of which blocks of patches are hidden, drawn as for BEiT.

    What should be said about the hidden patches is made when the model runs.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"src.image", "src.masked", "labels.data2vec"})

    def __init__(
        self,
        *,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        image_mask_rate: ImageMaskRate = 0.6,
    ) -> None:
        self.images = images
        self.grid = grid_of(images, patch_size)
        self.seq_length = self.grid[0] * self.grid[1]
        require_rate(image_mask_rate, self.seq_length)
        self.hidden = min(max(1, round(self.seq_length * image_mask_rate)), self.seq_length - 1)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Hide blocks."""
        masked = blocks(draw, decoded.which, self.grid, self.hidden)
        row, patch = np.nonzero(masked)
        length = np.full(len(masked), self.seq_length)
        return Prepared(
            {},
            arrays={**decoded.arrays, "src.masked": masked, "src.length": length},
            patch_labels={"data2vec": PatchLabels(row, patch, length)},
        )
