"""Masked images and their codes (BEiT, https://arxiv.org/abs/2106.08254)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.glossary import CodesNum, ImageMaskRate, PatchSize
from uer.images.base import Images
from uer.processors._media import Decoded, require_media
from uer.processors._patch_masks import blocks, grid_of, require_rate
from uer.processors._patches import PatchProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default

COLUMN = "codes"


class Beit(PatchProcessor):
    """Images of which blocks of patches are hidden, and what an image tokenizer makes of these.

    The tokenizer has written its codes to the store (``uer codes``), of the same number of patches
    and of the image as it is in evaluation: transforms that move its content would part it from
    them, so those of colours only make sense. Images without codes are left out.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.image", "src.masked", "labels.codes", "labels.mlm"}
    )

    def __init__(
        self,
        *,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        image_mask_rate: ImageMaskRate = 0.4,
        codes_num: CodesNum,
    ) -> None:
        self.images, self.codes_num = images, codes_num
        self.grid = grid_of(images, patch_size)
        self.seq_length = self.grid[0] * self.grid[1]
        require_rate(image_mask_rate, self.seq_length)
        self.hidden = min(max(1, round(self.seq_length * image_mask_rate)), self.seq_length - 1)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per image with codes.

        Raises:
            DataError: there are no codes, or they are of another image tokenizer.
        """
        require_media(store, "image", self.name)
        codes = self._codes(store)
        which = np.flatnonzero((codes >= 0).all(axis=1))
        return Instances.without_tokens({"image": which}, {"codes": codes[which]})

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Hide blocks; the codes of what is hidden are the labels."""
        masked = blocks(draw, decoded.which, self.grid, self.hidden)
        row, patch = np.nonzero(masked)
        length = np.full(len(masked), self.seq_length)
        codes = instances.fields["codes"][decoded.which]
        labels = PatchLabels(row, patch, length, codes[row, patch])
        arrays = {**decoded.arrays, "src.masked": masked, "src.length": length}
        # The predecessors predict them with the head of masked language models.
        return Prepared({}, arrays=arrays, patch_labels={"codes": labels, "mlm": labels})

    def _codes(self, store: TokenStore) -> Ints:
        """[D, P] of the store."""
        if COLUMN not in store.columns:
            raise DataError(
                f"the processor '{self.name}' predicts the codes of images, and the data have "
                "none; let an image tokenizer write them: uer codes --load_model_path … "
                "--dataset_path …"
            )
        codes = np.asarray(store.columns[COLUMN], np.int64)
        if codes.shape[1] != self.seq_length:
            raise DataError(
                f"the data have {codes.shape[1]} codes per image, but an image has "
                f"{self.seq_length} patches here; choose patch_size and the image's size as for "
                "the image tokenizer."
            )
        if len(codes) and int(codes.max()) >= self.codes_num:
            raise DataError(
                f"the codes of the data go up to {codes.max()}, but codes_num says that there are "
                f"{self.codes_num}; give the size of the image tokenizer's codebook."
            )
        return codes
