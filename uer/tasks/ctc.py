"""Speech to text by CTC."""

from __future__ import annotations

from typing import Annotated, ClassVar

from uer.batch import Batch
from uer.errors import ConfigError
from uer.generation.ctc import greedy, prefix_beam
from uer.model import Model
from uer.targets.ctc import ConnectionistTemporalClassification
from uer.tasks._media import MediaRoot
from uer.tasks._transcription import Transcription


class Ctc(Transcription):
    """Reads texts off the frames; see `uer.tasks._transcription` for the files."""

    target: ClassVar[str] = "ctc"
    processor: ClassVar[str] = "ctc"
    best_by: ClassVar[str] = "ctc.loss"
    highest: ClassVar[bool] = False

    def __init__(
        self,
        *,
        beam_width: Annotated[
            int, "prefixes that are followed at once; 1: the likeliest token of each frame"
        ] = 1,
        media_root: MediaRoot = None,
    ) -> None:
        if beam_width < 1:
            raise ConfigError([f"beam_width: {beam_width} is not positive."])
        self.beam_width, self.media_root = beam_width, media_root

    def transcribe(self, model: Model, batch: Batch) -> list[list[int]]:
        """See `Transcription.transcribe`."""
        head = model.heads[self.target]
        assert isinstance(head, ConnectionistTemporalClassification)
        states = model.states(batch)
        chances = head.logits(states.hidden).float().log_softmax(-1).cpu().numpy()
        rows = [
            row[:length] for row, length in zip(chances, states.lengths().tolist(), strict=True)
        ]
        if self.beam_width == 1:
            return [greedy(row, head.blank_id) for row in rows]
        return [prefix_beam(row, head.blank_id, self.beam_width)[0][0] for row in rows]
