"""The common part of processors that hide patches of single images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import Medium
from uer.data.randomness import Draw
from uer.images.base import Images
from uer.processors._media import MediaProcessor, require_media


class PatchProcessor(MediaProcessor):
    """One image per instance, of which `assemble` hides patches; labels are not looked at.

    Attributes:
        images: how files become pixels.
        seq_length: patches of an image.
    """

    corpus: ClassVar[str] = "images"
    images: Images

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per image; nothing is random here."""
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
