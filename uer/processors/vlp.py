"""Captions beside the regions of their image (VLP, https://arxiv.org/abs/1909.11059)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Constant, Instances, Span, TokenStore
from uer.data.media.references import MediaError, Medium
from uer.data.media.regions import open_regions
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import BoxSize, RegionSize, SeqLength
from uer.maskings.base import Masking
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors.base import Prepared
from uer.signature import Given, default

SEGMENTS = (1, 3)  # of a text that sees all of itself, and of one that is written


class Vlp(MediaProcessor):
    """[CLS] text [SEP], some of it masked, beside the regions of an image.

    An instance is one of two kinds, drawn anew in every epoch: in ``seq2seq_rate`` of them a token
    of the text sees the regions and what stands before it, as when a caption is written; in the
    others it sees everything. Both are flags of the prefix, under one kind of mask, and a text's
    segment says which it is: 1 sees all, 3 is written. [SEP] may be masked, too, so that captions
    learn to end. A text that is too long loses its end.
    """

    corpus: ClassVar[str] = "captioned_regions"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.segment", "src.prefix", "src.regions", "src.boxes", "labels.mlm"}
    )
    varying: ClassVar[frozenset[str]] = frozenset({"src.regions", "src.boxes"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 22,
        regions_num: Annotated[
            int, "regions of an image at most, the first ones of its file"
        ] = 100,
        region_size: RegionSize = 2048,
        box_size: BoxSize = 5,
        seq2seq_rate: Annotated[
            float, "share of the instances whose text is written from left to right"
        ] = 0.75,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        if regions_num < 1 or not 0 <= seq2seq_rate <= 1:
            raise ConfigError(
                [
                    f"regions_num: {regions_num} must be positive, seq2seq_rate: {seq2seq_rate} "
                    "between 0 and 1."
                ]
            )
        self.seq_length, self.pad_id = seq_length, pad_id
        self.regions_num, self.seq2seq_rate, self.masking = regions_num, seq2seq_rate, masking
        self.sizes = {"region_size": region_size, "box_size": box_size}
        self.layouts = ((Constant(cls_id), Span(0), Constant(sep_id, loss=True)),)
        self.require_seq_length(3)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per document."""
        require_media(store, "regions", self.name)
        side = store.sides["src"]
        bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
        return Instances(
            self.layouts,
            np.zeros(len(store), np.uint8),
            bounds[:-1, None],
            np.minimum(np.diff(bounds), self.seq_length - 2).astype(np.int32)[:, None],
            media={"regions": np.arange(len(store))},
        )

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        regions, boxes = open_regions(media["regions"], self.regions_num)
        for (key, size), values in zip(self.sizes.items(), (regions, boxes), strict=True):
            if values.shape[1] != size:
                raise MediaError("of another width", f"{values.shape[1]}; {key} {size}")
        return {"src.regions": regions, "src.boxes": boxes}

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Mask the texts, and say what they see."""
        text = gathered["src"]
        special = text.special.copy()
        special[text.offsets[1:] - 1] = False
        masked = self.masking(replace(text, special=special), draw)
        written = draw.uniform("written", text.which) < self.seq2seq_rate
        kind = np.repeat(written, text.lengths())
        read = replace(
            text,
            ids=masked.ids,
            prefix=~kind,
            segment=np.where(kind, SEGMENTS[1], SEGMENTS[0]).astype(np.uint8),
        )
        return Prepared(
            {"src": read},
            {"mlm": ("src", masked.place, masked.value)},
            arrays=decoded.arrays,
        )
