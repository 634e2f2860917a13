"""Images with labels (ViT, https://arxiv.org/abs/2010.11929)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.mixing import mix_images
from uer.data.media.references import Medium
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import PatchSize
from uer.images.base import Images
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors.base import Prepared
from uer.signature import Given, default


class Vit(MediaProcessor):
    """Labelled images, one per instance; without the column ``label`` they have no labels.

    A column of several numbers per row holds soft labels. In training, images may be mixed with the
    others of their batch (mixup, https://arxiv.org/abs/1710.09412; CutMix,
    https://arxiv.org/abs/1905.04899), and so are their labels.
    """

    corpus: ClassVar[str] = "labelled_images"
    provides: ClassVar[frozenset[str]] = frozenset({"src.image", "labels.cls"})

    def __init__(
        self,
        *,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        mixup: Annotated[float, "alpha of mixup's Beta distribution; 0: no mixup"] = 0.0,
        cutmix: Annotated[float, "alpha of CutMix's Beta distribution; 0: no CutMix"] = 0.0,
        labels_num: Given[int | None] = None,
    ) -> None:
        self.images, self.mixup, self.cutmix = images, mixup, cutmix
        self.labels_num = labels_num
        self.seq_length = (images.height // patch_size) * (images.width // patch_size)
        if not self.seq_length:
            raise ConfigError(
                [
                    f"patch_size: {patch_size} is larger than an image of {images.height} x "
                    f"{images.width} pixels."
                ]
            )
        if mixup < 0 or cutmix < 0:
            raise ConfigError(["mixup and cutmix must not be negative."])

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document; nothing is random here."""
        require_media(store, "image", self.name)
        labels = {"label": store.columns["label"]} if "label" in store.columns else {}
        return Instances.without_tokens({"image": np.arange(len(store))}, labels)

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
        """Look the labels up, and mix."""
        image = np.asarray(decoded.arrays["src.image"])
        labels = instances.fields.get("label")
        value = None if labels is None else np.asarray(labels[decoded.which])
        if value is not None and not decoded.ordered and (self.mixup or self.cutmix):
            assert self.labels_num is not None, "rows with labels are counted"
            image, value = mix_images(
                image,
                value,
                classes=self.labels_num,
                mixup=self.mixup,
                cutmix=self.cutmix,
                draw=draw,
                number=int(decoded.which[0]),
            )
        return Prepared(
            {},
            row_labels={} if value is None else {"cls": value},
            arrays={
                "src.image": image,
                "src.length": np.full(len(image), self.seq_length),
            },
        )
