"""Images of which some patches are read (MAE, https://arxiv.org/abs/2111.06377)."""

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
from uer.processors._patch_masks import grid_of, require_rate, split_at_random
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default


class Mae(MediaProcessor):
    """Images, one per instance; a random share of their patches is hidden from the encoder.

    Every image has as many visible patches, one at least. Labels of the images are not looked at.
    """

    corpus: ClassVar[str] = "images"
    provides: ClassVar[frozenset[str]] = frozenset({"src.image", "src.visible", "labels.pixel"})

    def __init__(
        self,
        *,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        image_mask_rate: ImageMaskRate = 0.75,
    ) -> None:
        self.images = images
        rows, columns = grid_of(images, patch_size)
        self.seq_length = rows * columns
        require_rate(image_mask_rate, self.seq_length)
        self.visible = min(
            max(1, int(self.seq_length * (1 - image_mask_rate))), self.seq_length - 1
        )

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per image."""
        require_media(store, "image", self.name)
        return Instances.without_tokens({"image": np.arange(len(store))})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] patches, hidden ones included."""
        return {"src": np.full(len(instances), self.seq_length)}

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        return {"src.image": self.images(media["image"], draw, number, ordered=ordered)}

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Choose what is read; everything else is predicted."""
        count = len(decoded.which)
        visible, hidden = split_at_random(draw, decoded.which, self.seq_length, self.visible)
        length = np.full(count, self.seq_length)
        labels = PatchLabels(np.repeat(np.arange(count), hidden.shape[1]), hidden.ravel(), length)
        arrays = {**decoded.arrays, "src.visible": visible, "src.length": length}
        return Prepared({}, arrays=arrays, patch_labels={"pixel": labels})
