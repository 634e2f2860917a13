"""The predecessors' own language modelling, for checkpoints that were trained with it."""

from __future__ import annotations

from typing import Annotated

from uer.glossary import LabelSmoothing
from uer.signature import Given
from uer.targets.lm import LanguageModel


class LegacyLanguageModel(LanguageModel):
    """Label smoothing spreads its share over the *other* tokens, not over all of them.

    `dialect: legacy` chooses it where labels are smoothed; nothing new should.
    """

    def __init__(
        self,
        *,
        input_size: Given[int],
        vocab_size: Given[int],
        has_lmtarget_bias: Annotated[bool, "the output layer has a bias"] = False,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__(
            input_size=input_size,
            vocab_size=vocab_size,
            has_lmtarget_bias=has_lmtarget_bias,
            label_smoothing=label_smoothing * vocab_size / (vocab_size - 1),
        )
