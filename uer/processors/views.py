"""Several views of each image (BYOL, https://arxiv.org/abs/2006.07733)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import Medium
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import PatchSize
from uer.images.base import Images
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors.base import Prepared
from uer.signature import default


class Views(MediaProcessor):
    """An image as the model reads it, and further random views of it; labels are not looked at.

    The first view is the side ``src``, the others are ``view.0``, ``view.1``, … Each has random
    numbers of its own, and may have transforms of its own: those of the second (``second_images``;
    BYOL and DINO blur and solarise it otherwise), and, behind all of these, ``local_views`` small
    crops (``local_images``; DINO's multi-crop, https://arxiv.org/abs/2006.09882)::

        images: {single: {image_preprocess: [{random_resized_crop: {scale: [0.4, 1.0]}}]}}
        local_images: {single: {image_height: 96, image_width: 96, image_preprocess: […]}}
        local_views: 8
    """

    corpus: ClassVar[str] = "images"
    provides: ClassVar[frozenset[str]] = frozenset({"src.image", "view.0.image"})

    def __init__(
        self,
        *,
        images: Images = default("single"),
        second_images: Images | None = None,
        local_images: Images | None = None,
        global_views: Annotated[int, "views of an image with the first transforms"] = 2,
        local_views: Annotated[int, "further, smaller views of an image"] = 0,
        patch_size: PatchSize = 16,
    ) -> None:
        problems = []
        if global_views < 1 or local_views < 0:
            problems.append(
                f"global_views: {global_views} must be positive, local_views: {local_views} not "
                "negative."
            )
        if (local_images is None) != (local_views == 0):
            problems.append("local_views and local_images go together; one of them is missing.")
        sizes = {(one.height, one.width) for one in (images, second_images) if one is not None}
        if len(sizes) > 1:
            problems.append(f"images and second_images must have one size, not {sizes}.")
        if problems:
            raise ConfigError(problems)
        self.images = images
        others = [second_images or images] * (global_views - 1)
        if local_images is not None:
            others += [local_images] * local_views
        self.pipelines = [images, *others]
        self.patches = [
            (one.height // patch_size) * (one.width // patch_size) for one in self.pipelines
        ]
        self.seq_length = self.patches[0]

    @staticmethod
    def side(view: int) -> str:
        """The side of a view."""
        return f"view.{view - 1}" if view else "src"

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document; nothing is random here."""
        require_media(store, "image", self.name)
        return Instances.without_tokens({"image": np.arange(len(store))})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] patches of each view."""
        return {
            self.side(view): np.full(len(instances), patches)
            for view, patches in enumerate(self.patches)
        }

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        return {
            f"{self.side(view)}.image": pipeline(
                media["image"], draw, number, ordered=ordered, view=view
            )
            for view, pipeline in enumerate(self.pipelines)
        }

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """There is nothing to corrupt."""
        lengths = {
            f"{self.side(view)}.length": np.full(len(decoded.which), patches)
            for view, patches in enumerate(self.patches)
        }
        return Prepared({}, arrays={**decoded.arrays, **lengths})
