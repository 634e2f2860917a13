"""Masked captions beside images, their own or others' (ViLT, https://arxiv.org/abs/2102.03334)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.media.references import Medium
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError, DataError
from uer.glossary import SeqLength
from uer.images.base import Images
from uer.maskings.base import Masking
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors.base import Prepared
from uer.signature import Given, default

_TRIES = 4  # at finding another image


class Vilt(MediaProcessor):
    """[CLS] caption [SEP] with masked words, and an image that may be another caption's.

    The label is 0 where the image is the caption's own and 1 where it is not. What is drawn for a
    caption is the image of another row, and again if that should be the same file: a picture has
    several captions in many data sets. Masked words are predicted beside either image. A caption
    that is too long loses its end.
    """

    corpus: ClassVar[str] = "captioned_images"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.image", "labels.mlm", "labels.sp"}
    )

    def __init__(
        self,
        *,
        seq_length: SeqLength = 40,
        images: Images = default("single"),
        masking: Masking = default("token"),
        wrong_image_rate: Annotated[float, "share of the captions beside another's image"] = 0.5,
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        if not 0 <= wrong_image_rate <= 1:
            raise ConfigError([f"wrong_image_rate: {wrong_image_rate} is not in [0, 1]."])
        self.seq_length, self.pad_id = seq_length, pad_id
        self.images, self.masking, self.wrong_image_rate = images, masking, wrong_image_rate
        self.layout = (Constant(cls_id), Span(0), Constant(sep_id))
        self.require_seq_length(3)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per caption; half of them get another's image.

        Raises:
            DataError: there is no other image.
        """
        require_media(store, "image", self.name)
        if len(store) < 2 and self.wrong_image_rate:
            raise DataError(
                "whether an image belongs to a caption is learnt from two rows at least, the data "
                "hold one; add more, or give wrong_image_rate: 0."
            )
        side = store.sides["src"]
        bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
        length = np.minimum(np.diff(bounds), self.seq_length - 2)
        own = np.arange(len(length))
        wrong = draw.uniform("wrong image", own) < self.wrong_image_rate
        image = np.where(wrong, self._others(store, own, wrong, draw), own)
        return Instances(
            (self.layout,),
            np.zeros(len(length), np.uint8),
            bounds[:-1, None],
            length[:, None].astype(np.int32),
            {"wrong": image != own},
            media={"image": image},
        )

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        return {"src.image": self.images(media["image"], draw, number, ordered=ordered)}

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Mask the captions."""
        ragged = gathered["src"]
        masked = self.masking(ragged, draw)
        return Prepared(
            {"src": replace(ragged, ids=masked.ids)},
            {"mlm": ("src", masked.place, masked.value)},
            {"sp": instances.fields["wrong"][decoded.which].astype(np.int64)},
            arrays=decoded.arrays,
        )

    def _others(self, store: TokenStore, own: Ints, wrong: NDArray[np.bool_], draw: Draw) -> Ints:
        """[N] another row for each; its own where no other image was found."""
        column, found = store.media["image"], own.copy()
        left = np.flatnonzero(wrong)
        for attempt in range(_TRIES):
            other = draw.integers("other image", left, len(own) - 1, attempt) if len(left) else left
            other += other >= left
            same = np.array(
                [
                    column[int(a)].reference == column[int(b)].reference
                    for a, b in zip(left, other, strict=True)
                ],
                np.bool_,
            )
            found[left[~same]] = other[~same]
            left = left[same]
        return found
