"""Learning from a teacher by a token of its own."""

from __future__ import annotations

import torch

from uer.errors import DataError
from uer.glossary import LabelSmoothing
from uer.signature import Given
from uer.states import States
from uer.targets.cls import Classification


class DistillationToken(Classification):
    """Predicts a teacher's class from the distillation token (DeiT, arXiv:2012.12877).

    The teacher's word is a label like another, ``labels.<name>.value``: [D] its class (hard
    distillation, what the paper found best) or [D, C] its probabilities.
    """

    def __init__(
        self,
        *,
        input_size: Given[int],
        labels_num: Given[int],
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__(
            input_size=input_size,
            labels_num=labels_num,
            classifier_hidden=False,
            label_smoothing=label_smoothing,
        )

    def logits(self, states: States) -> torch.Tensor:
        """[D, C] of every image.

        Raises:
            DataError: there is no such token.
        """
        if "distillation" not in states.parts:
            raise DataError("target 'distillation' needs distillation_token: true.")
        return self.output(states.hidden[:, states.parts["distillation"]].squeeze(1))
