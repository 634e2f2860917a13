"""Speech to text without a decoder (https://doi.org/10.1145/1143844.1143891)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.processors._media import Decoded
from uer.processors._sound import SoundProcessor, text_of_sounds, with_texts
from uer.processors.base import PatchLabels, Prepared
from uer.signature import Given, default
from uer.sounds.base import Sounds


class Ctc(SoundProcessor):
    """Sounds with texts: the frames of the encoder say the text in order. Texts have no marks."""

    corpus: ClassVar[str] = "transcribed_sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.frames", "src.wave", "labels.ctc"})

    def __init__(self, *, sounds: Sounds = default("fbank"), pad_id: Given[int]) -> None:
        self.set_up(sounds)
        self.pad_id = pad_id

    def indexed(self, store: TokenStore, documents: Ints) -> Instances:
        """See `SoundProcessor.indexed`."""
        start, length = text_of_sounds(store, documents, self.name)
        texts = Instances(
            ((Span(0),),),
            np.zeros(len(start), np.uint8),
            start[:, None],
            length.astype(np.int32)[:, None],
        )
        return with_texts(super().indexed(store, documents), texts)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """The tokens of all texts are one list of labels, each with its row."""
        heard, _ = self.heard(decoded.arrays)
        texts = gathered["tgt"]
        # A row counts as one patch, so that indices are rows.
        one = np.ones(len(texts), np.int64)
        row = texts.owners()
        labels = PatchLabels(row, np.zeros_like(row), one, value=texts.ids)
        return Prepared({}, arrays=heard, patch_labels={"ctc": labels})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `SoundProcessor.lengths`; the model reads no text."""
        return {"src": super().lengths(instances)["src"]}
