"""Images of which some patches are read (MAE, https://arxiv.org/abs/2111.06377)."""

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
from uer.processors._patch_masks import grid_of, require_rate, split_at_random
from uer.processors._patches import PatchProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default


class Mae(PatchProcessor):
    """Images, one per instance; a random share of their patches is hidden from the encoder.

    Every image has as many visible patches, one at least. Labels of the images are not looked at.
    """

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
