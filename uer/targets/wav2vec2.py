"""Contrast between what a frame is and what others of its row are (wav2vec 2.0)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.errors import ConfigError, UserError
from uer.glossary import FeaturePenaltyWeight
from uer.layers.dropout import Dropout
from uer.layers.features import feature_penalty, require_features
from uer.layers.linear import Linear
from uer.layers.quantizer import GumbelQuantizer, Quantized, perplexity
from uer.score import Ratio, Score
from uer.signature import Given
from uer.states import States

_SETTLING, _MEMORY = 100, 0.05  # updates before the rule; share of a new value in the running mean


class Wav2Vec2(Target):
    """Finds the quantised features of a masked frame among distractors (arXiv:2006.11477).

    The loss of a masked frame is the cross-entropy of the cosines between its state and the
    candidates; distractors with the same codes do not count. To it come, for every masked frame,
    ``diversity_weight`` times the share of the codebooks that is not in use and
    ``feature_penalty_weight`` times the mean square of the features.

    A model may find a few codes enough, and then learns nothing: where the codes in use, in the
    running mean of the updates, fall below ``least_code_use`` of all, the run ends.
    """

    additive = False
    labels = ("index", "negative_index")
    lowest = ("contrast", "diversity")

    def __init__(
        self,
        *,
        input_size: Given[int],
        features_size: Given[int | None] = None,
        codebook_groups: Annotated[int, "codebooks that a frame has a code of"] = 2,
        codebook_size: Annotated[int, "codes of each codebook"] = 320,
        code_size: Annotated[int, "width of the codes of all codebooks together"] = 256,
        contrast_size: Annotated[int, "width in which states and codes are compared"] = 256,
        contrast_temperature: Annotated[float, "cosines are divided by it"] = 0.1,
        quantizer_dropout: Annotated[float, "dropout rate of features before the codebooks"] = 0.0,
        gumbel_temperature: Annotated[float, "temperature of drawn codes at the start"] = 2.0,
        gumbel_decay: Annotated[float, "factor of this temperature with each update"] = 0.999995,
        gumbel_least: Annotated[float, "this temperature does not fall below"] = 0.5,
        diversity_weight: Annotated[float, "weight of the share of codes not in use"] = 0.1,
        feature_penalty_weight: FeaturePenaltyWeight = 10.0,
        least_code_use: Annotated[
            float, "share of the codes in use (perplexity) below which a run ends; 0: none"
        ] = 0.05,
    ) -> None:
        super().__init__()
        if not (contrast_temperature > 0 and gumbel_temperature > 0 and gumbel_least > 0):
            raise ConfigError(
                ["contrast_temperature, gumbel_temperature, gumbel_least: must be above 0."]
            )
        self.quantizer = GumbelQuantizer(
            features=require_features("wav2vec2", features_size),
            groups=codebook_groups,
            entries=codebook_size,
            width=code_size,
            temperature=gumbel_temperature,
        )
        self.codes_projection = Linear(code_size, contrast_size)
        self.output = Linear(input_size, contrast_size)
        self.dropout = Dropout(quantizer_dropout)
        self.temperature = contrast_temperature
        self._cooling = (gumbel_temperature, gumbel_decay, gumbel_least)
        self._diversity, self._penalty = diversity_weight, feature_penalty_weight
        self._collapse = CollapseRule(least_code_use, codebook_groups * codebook_size)

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of masked frames."""
        index = batch[f"labels.{self.name}.index"]
        return torch.full((), float(len(index)), device=index.device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] at ``index`` [M] against ``negative_index`` [M, K] of its row."""
        index = batch[f"labels.{self.name}.index"]
        features = states.extras["features"]
        quantized = self.quantizer(self.dropout(features).flatten(0, 1))
        codes = self.codes_projection(quantized.vectors.to(features.dtype))
        logits = self.logits(
            self.output(states.hidden),
            codes.view(*features.shape[:2], -1),
            index,
            batch[f"labels.{self.name}.negative_index"],
            quantized,
        )
        answer = torch.zeros_like(index)
        contrast = F.cross_entropy(logits, answer, reduction="sum")
        frames = self.weight(batch)
        used = perplexity(quantized.shares[index])
        unused = 1 - used / quantized.shares[0].numel()
        loss = contrast + self._diversity * unused * frames
        if self._penalty:
            loss = loss + self._penalty * feature_penalty(states) * frames
        in_use = self._in_use(quantized, index)
        return Score(
            loss,
            {
                "accuracy": Ratio((logits.detach().argmax(-1) == 0).sum().float(), frames),
                "contrast": Ratio(contrast.detach(), frames),
                "diversity": Ratio(unused.detach() * frames, frames),
                "code_perplexity": Ratio(in_use * frames, frames),
            },
        )

    def logits(
        self,
        states: torch.Tensor,
        codes: torch.Tensor,
        index: torch.Tensor,
        negative: torch.Tensor,
        quantized: Quantized,
    ) -> torch.Tensor:
        """Cosines over temperature: the answer first, then the distractors; -inf at equal codes.

        Args:
            states: [B, L, F].
            codes: [B, L, F].
            index: [M] masked frames.
            negative: [M, K] frames of the same rows.
            quantized: of all B * L frames.

        Returns:
            float32 [M, 1 + K].
        """
        states, codes = (F.normalize(each.float(), dim=-1) for each in (states, codes))
        cosines = (states @ codes.transpose(1, 2)).flatten(0, 1)[index]  # of all frames of the row
        candidates = torch.cat([index[:, None], negative], 1)
        logits = cosines.gather(1, candidates % codes.shape[1]) / self.temperature
        same = (quantized.codes[candidates] == quantized.codes[index][:, None]).all(-1)
        same[:, 0] = False
        return logits.masked_fill(same, -torch.inf)

    def on_update(self, step: int, total: int) -> None:
        """Cool the draws of codes; end a run that has collapsed.

        Raises:
            UserError: it has.
        """
        self.on_resume(step, total)
        self._collapse.check(step)

    def on_resume(self, step: int, total: int) -> None:
        """The temperature follows from the update alone."""
        start, decay, least = self._cooling
        self.quantizer.cool(max(start * decay**step, least))

    @torch.no_grad()
    def _in_use(self, quantized: Quantized, index: torch.Tensor) -> torch.Tensor:
        """[] perplexity of the codes that would be taken without noise."""
        best = F.one_hot(quantized.best[index], quantized.shares.shape[-1])
        found = perplexity(best)
        if self.training and len(index):
            self._collapse.add(found)
        return found


class CollapseRule:
    """Ends a run that makes do with a few codes.

    The running mean is learnt anew after a resume. It is looked at only every tenth update: a
    device has to be waited for.

    Args:
        share: of the codes in use below which the run ends; 0: it never does.
        codes: of all codebooks.
    """

    def __init__(self, share: float, codes: int) -> None:
        if not 0 <= share < 1:
            raise ConfigError([f"least_code_use: {share} must be at least 0 and below 1."])
        self._share, self._codes = share, codes
        self._mean: torch.Tensor | None = None
        self._seen, self._updates = 0, 0

    def add(self, perplexity: torch.Tensor) -> None:
        """Follow a batch of an update; [] codes in use."""
        self._seen += 1
        mean = perplexity if self._mean is None else self._mean
        self._mean = mean + (perplexity - mean) * max(_MEMORY, 1 / self._seen)

    def check(self, step: int) -> None:
        """Called after every update.

        Raises:
            UserError: too few codes are in use.
        """
        self._updates += 1
        if self._mean is None or self._updates < _SETTLING or self._updates % 10:
            return
        found = float(self._mean)
        if found < self._share * self._codes:
            raise UserError(
                f"the codes have collapsed: at update {step} {found:.1f} of {self._codes} are in "
                f"use (perplexity), less than the share {self._share:g} (least_code_use). Raise "
                "diversity_weight or the batch, or lower --learning_rate, and start again; with "
                "least_code_use: 0 a run goes on regardless."
            )
