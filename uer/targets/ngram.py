"""Language modelling several tokens ahead."""

from __future__ import annotations

from typing import Annotated

import torch

from uer.batch import Batch
from uer.errors import ConfigError
from uer.glossary import LabelSmoothing
from uer.layers.cross_entropy import cross_entropy
from uer.score import Score
from uer.signature import Given
from uer.states import States
from uer.targets.lm import LanguageModel


class NgramLanguageModel(LanguageModel):
    """Every stream of a decoder predicts the same tokens (ProphetNet, arXiv:2001.04063).

    Stream i knows what stands up to i tokens before its turn, so it looks i tokens further ahead.
    Their losses are averaged with weights that fall by ``ngram_attenuation`` from one to the next:
    1, as in the original, is the plain mean, 0 trains the first stream alone. Goes with a decoder
    that makes streams.
    """

    def __init__(
        self,
        *,
        input_size: Given[int],
        vocab_size: Given[int],
        has_lmtarget_bias: Annotated[bool, "the output layer has a bias"] = False,
        label_smoothing: LabelSmoothing = 0.0,
        ngram_attenuation: Annotated[
            float, "weight of a stream's loss, relative to that of the stream before it"
        ] = 1.0,
    ) -> None:
        if ngram_attenuation < 0:
            raise ConfigError([f"ngram_attenuation: {ngram_attenuation} must not be negative."])
        super().__init__(
            input_size=input_size,
            vocab_size=vocab_size,
            has_lmtarget_bias=has_lmtarget_bias,
            label_smoothing=label_smoothing,
        )
        self.attenuation = ngram_attenuation

    def forward(self, states: States, batch: Batch) -> Score:
        """Score the streams [B, n, T, H] at ``labels.<name>.index`` [M] against ``.value`` [M].

        Returns:
            The weighted mean of the streams' losses; accuracies ``accuracy`` of the first stream,
            ``accuracy_2`` of the second, and so on.
        """
        value = batch[f"labels.{self.name}.value"]
        scores = [
            cross_entropy(self.logits(hidden), value, label_smoothing=self.label_smoothing)
            for hidden in self._streams(states, batch[f"labels.{self.name}.index"])
        ]
        weights = [self.attenuation**number for number in range(len(scores))]
        losses = [w * score.loss_sum for w, score in zip(weights, scores, strict=True)]
        metrics = {
            "accuracy" if number == 1 else f"accuracy_{number}": score.metrics["accuracy"]
            for number, score in enumerate(scores, start=1)
        }
        return Score(torch.stack(losses).sum() / sum(weights), metrics)

    def _streams(self, states: States, index: torch.Tensor) -> list[torch.Tensor]:
        """n times [M, H]."""
        if "streams" not in states.extras:
            raise ConfigError(
                [f"target '{self.name}': ngram needs a decoder with streams, such as prophetnet."]
            )
        return [
            stream.flatten(0, 1).index_select(0, index)
            for stream in states.extras["streams"].unbind(1)
        ]
