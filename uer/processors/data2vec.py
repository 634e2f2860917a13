"""Masked images for a teacher that sees them whole (data2vec, https://arxiv.org/abs/2202.03555)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, Ragged, TokenStore
from uer.data.media.references import Medium
from uer.data.randomness import Draw
from uer.glossary import ImageMaskRate, PatchSize
from uer.images.base import Images
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors._patch_masks import blocks, grid_of, require_rate
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default


class Data2Vec(MediaProcessor):
    """Images of which blocks of patches are hidden, drawn as for BEiT.

    What should be said about the hidden patches is made when the model runs.
    """

    corpus: ClassVar[str] = "images"
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

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document; nothing is random here."""
        require_media(store, "image", self.name)
        return Instances.without_tokens({"image": np.arange(len(store))})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] patches."""
        return {"src": np.full(len(instances), self.seq_length)}

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        return {"src.image": self.images(media["image"], draw, number, ordered=ordered)}

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
