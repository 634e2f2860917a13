"""Speech to text with an encoder and a decoder."""

from __future__ import annotations

from typing import Annotated, ClassVar

from uer.batch import Batch
from uer.errors import ConfigError
from uer.generation.beam_search import Limits
from uer.generation.seq2seq import decode_batch
from uer.glossary import TgtSeqLength
from uer.model import Model
from uer.processors._sequences import Marks
from uer.tasks._media import MediaRoot
from uer.tasks._transcription import Transcription


class SpeechToText(Transcription):
    """Beam search in what the decoder says; see `uer.tasks._transcription` for the files."""

    target: ClassVar[str] = "lm"
    processor: ClassVar[str] = "s2t"
    best_by: ClassVar[str] = "lm.loss"
    highest: ClassVar[bool] = False
    passes_on: ClassVar[tuple[str, ...]] = ("tgt_seq_length",)

    def __init__(
        self,
        *,
        beam_width: Annotated[int, "texts that are followed at once; 1: the likeliest token"] = 10,
        length_penalty: Annotated[
            float, "texts are compared by their log-probability over this power of their length"
        ] = 1.0,
        tgt_seq_length: TgtSeqLength = 100,
        media_root: MediaRoot = None,
    ) -> None:
        if beam_width < 1 or tgt_seq_length < 1:
            raise ConfigError(["beam_width and tgt_seq_length must be positive."])
        self.limits = Limits(beam_width, tgt_seq_length, length_penalty=length_penalty)
        self.media_root = media_root

    def transcribe(self, model: Model, batch: Batch) -> list[list[int]]:
        """See `Transcription.transcribe`."""
        assert self.tokenizer is not None
        special, marks = self.tokenizer.special, Marks.among(self.tokenizer.special)
        found = decode_batch(
            model, batch, self.limits, start=marks.start, end=marks.closing, never=[special["pad"]]
        )
        return [texts[0].ids if texts else [] for texts in found]
