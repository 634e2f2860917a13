"""Images with captions, as two streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.media.references import Medium
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import PatchSize, SeqLength
from uer.images.base import Images
from uer.processors._media import Decoded, MediaProcessor, require_media
from uer.processors._sequences import Marks
from uer.processors.base import Prepared
from uer.signature import Given, default


class Clip(MediaProcessor):
    """Captions and their images (CLIP, https://arxiv.org/abs/2103.00020).

    Stream 0 reads the text, cut at its end, between marks of the tokenizer's roles: [CLS] text
    [SEP] with BERT's, <|startoftext|> text <|endoftext|> with CLIP's. Stream 1 reads the image.
    """

    corpus: ClassVar[str] = "captioned_images"
    provides: ClassVar[frozenset[str]] = frozenset({"src.0.ids", "src.1.image"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 77,
        images: Images = default("single"),
        patch_size: PatchSize = 16,
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
        share_rows: Given[bool] = False,
    ) -> None:
        self.seq_length, self.images, self.pad_id = seq_length, images, pad_id
        self.share_rows = share_rows
        self.patches = (images.height // patch_size) * (images.width // patch_size)
        if not self.patches:
            raise ConfigError(
                [
                    f"patch_size: {patch_size} is larger than an image of {images.height} x "
                    f"{images.width} pixels."
                ]
            )
        marks = Marks.of(pad_id, bos_id if cls_id is None else cls_id, sep_id, bos_id, eos_id)
        opening = () if marks.opening is None else (Constant(marks.opening),)
        self.layout = (*opening, Span(0), Constant(marks.closing))
        self.room = seq_length - marks.size
        self.require_seq_length(marks.size + 1)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per row; nothing is random here."""
        require_media(store, "image", self.name)
        return replace(self.texts(store), media={"image": np.arange(len(store))})

    def texts(self, store: TokenStore) -> Instances:
        """The captions alone, one per document."""
        side = store.sides["src"]
        bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
        length = np.minimum(np.diff(bounds), self.room)
        return Instances(
            (self.layout,),
            np.zeros(len(length), np.uint8),
            bounds[:-1, None],
            length[:, None].astype(np.int32),
        )

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        return {"src.1.image": self.images(media["image"], draw, number, ordered=ordered)}

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """The two streams; they need no labels, as what stands in one row belongs together."""
        patches = np.full(len(decoded.which), self.patches)
        arrays = {**decoded.arrays, "src.1.length": patches}
        text = self.text(gathered["src"])
        counts = {"src.0": next_fit(text.lengths(), self.seq_length)} if self.share_rows else {}
        return Prepared({"src.0": text}, arrays=arrays, counts=counts)

    def text(self, written: Ragged) -> Ragged:
        """What the text tower reads of n texts between their marks."""
        return written

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] tokens and patches."""
        found = super().lengths(instances)["src"]
        return {"src.0": found, "src.1": np.full_like(found, self.patches)}


def next_fit(lengths: Ints, width: int) -> Ints:
    """How many texts stand in each row of at most ``width`` tokens; their order stays."""
    counts: list[int] = []
    room = 0
    for length in lengths.tolist():
        if length > room:
            counts.append(0)
            room = width
        counts[-1] += 1
        room -= length
    return np.array(counts, np.int64)
