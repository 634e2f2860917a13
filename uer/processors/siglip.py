"""Images with captions that are padded as SigLIP reads them."""

from __future__ import annotations

import numpy as np

from uer.data.instances import Instances, Ints
from uer.data.ragged import Ragged
from uer.glossary import PatchSize, SeqLength
from uer.images.base import Images
from uer.processors.clip import Clip
from uer.signature import Given, default


class Siglip(Clip):
    """As `clip`, but every text is as long as the longest may be (https://arxiv.org/abs/2303.15343).

    What stands behind its end is read like everything else, so the last place sums any text up.
    """

    def __init__(
        self,
        *,
        seq_length: SeqLength = 64,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        super().__init__(
            seq_length=seq_length,
            images=images,
            patch_size=patch_size,
            pad_id=pad_id,
            cls_id=cls_id,
            sep_id=sep_id,
            bos_id=bos_id,
            eos_id=eos_id,
        )

    def text(self, written: Ragged) -> Ragged:
        """Padded to the greatest length."""
        ids = np.full((len(written), self.seq_length), self.pad_id, np.int64)
        ids[np.arange(self.seq_length) < written.lengths()[:, None]] = written.ids
        return Ragged.of(ids.ravel(), np.full(len(written), self.seq_length), written.which)

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] tokens and patches."""
        found = super().lengths(instances)
        return {**found, "src.0": np.full_like(found["src.0"], self.seq_length)}
