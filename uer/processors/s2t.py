"""Speech to text: the decoder says what was said (Speech2Text, https://arxiv.org/abs/2010.05171)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import TgtSeqLength
from uer.processors._media import Decoded
from uer.processors._sequences import Marks, next_token
from uer.processors._sound import SoundProcessor, text_of_sounds, with_texts
from uer.processors.base import Prepared
from uer.signature import Given, default
from uer.sounds.base import Sounds


class S2t(SoundProcessor):
    """Sounds with texts: the encoder hears, the decoder writes.

    Texts are cut at their ends; one that was cut does not teach its end. They are marked as by
    `t5`. Rows without a text (inference) have an empty one.
    """

    corpus: ClassVar[str] = "transcribed_sounds"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.frames", "src.wave", "tgt.ids", "labels.lm"}
    )

    def __init__(
        self,
        *,
        sounds: Sounds = default("fbank"),
        tgt_seq_length: TgtSeqLength = 128,
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        self.set_up(sounds)
        self.pad_id, self.tgt_seq_length = pad_id, tgt_seq_length
        self.marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        cut = (Constant(self.marks.start), Span(0))
        self.tgt_layouts = (cut, (*cut, Constant(self.marks.closing, loss=True)))
        self.require_seq_length(1, 1)

    def indexed(self, store: TokenStore, documents: Ints) -> Instances:
        """See `SoundProcessor.indexed`."""
        assert self.tgt_seq_length is not None
        start, length = text_of_sounds(store, documents, self.name)
        texts = Instances(
            self.tgt_layouts,
            (length < self.tgt_seq_length).astype(np.uint8),
            start[:, None],
            np.minimum(length, self.tgt_seq_length).astype(np.int32)[:, None],
        )
        return with_texts(super().indexed(store, documents), texts)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Split the texts into input and labels."""
        heard, _ = self.heard(decoded.arrays)
        read, labels = next_token(gathered["tgt"], "tgt")
        return Prepared({"tgt": read}, {"lm": labels}, arrays=heard)

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `SoundProcessor.lengths`; the last token of a text is a label only."""
        lengths = super().lengths(instances)
        return {**lengths, "tgt": lengths["tgt"] - 1}
