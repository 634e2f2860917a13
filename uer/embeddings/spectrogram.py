"""Spectrograms, cut into patches."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError
from uer.frames import frames_after
from uer.glossary import AudioFeatureSize, EmbSize, SpectrogramPatch
from uer.layers.linear import INITIAL_STD, Linear
from uer.layers.masked import MaskVector
from uer.layers.subsampling import at_least, validity_of
from uer.states import States


class SpectrogramEmbedding(Embedding):
    """Patches of frames and filter banks, each mapped to a vector (SSAST, arXiv:2110.09784).

    Patch number ``t * bands + f`` is the t-th of time and the f-th of frequency, so a shorter sound
    has the first patches of a longer one. With strides smaller than the patches they overlap, as in
    fine-tuning. Patches that reach behind the sound's end are padding, so that what a sound becomes
    does not depend on the others of its batch. A sound that is too short counts one of time.

    Patches where ``masked`` is true are exchanged for one learnt vector; what all of them held
    stays in ``extras["features"]`` [B, P, frames * banks of a patch] for targets to predict. Learnt
    vectors stand in front (``class_tokens``); label indices count patches only.
    """

    first = True
    packable = False

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        audio_feature_size: AudioFeatureSize = 80,
        spectrogram_patch: SpectrogramPatch = (16, 16),  # type: ignore[assignment]
        spectrogram_strides: Annotated[
            list[int] | None, "[frames, filter banks] from patch to patch; by default no overlap"
        ] = None,
        class_tokens: Annotated[
            int, "learnt vectors before the patches: a class token and one for distillation"
        ] = 2,
    ) -> None:
        super().__init__()
        strides = spectrogram_patch if spectrogram_strides is None else spectrogram_strides
        _check(spectrogram_patch, strides, audio_feature_size)
        self.shape, self.strides = tuple(spectrogram_patch), tuple(strides)
        self.output_size = emb_size
        self.features_size = self.shape[0] * self.shape[1]
        self.bands = frames_after(audio_feature_size, self.shape[1:], self.strides[1:], False)
        self.projection = Linear(self.features_size, emb_size)
        tokens = torch.empty(class_tokens, emb_size)
        self.tokens = (
            nn.Parameter(nn.init.normal_(tokens, std=INITIAL_STD)) if class_tokens else None
        )
        self.mask = MaskVector(emb_size)

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``frames`` [B, F, M].

        Returns:
            States with hidden [B, tokens + P, E].

        Raises:
            DataError: ``masked`` counts other patches.
        """
        assert states is None, "spectrogram reads the batch, so it stands first"
        frames = at_least(batch["frames"], self.shape[0])
        patches = F.unfold(frames[:, None], self.shape, stride=self.strides).transpose(1, 2)
        hidden = self.mask(self.projection(patches), batch.get("masked"))
        before = 0 if self.tokens is None else len(self.tokens)
        if self.tokens is not None:
            hidden = torch.cat([self.tokens.expand(len(hidden), -1, -1), hidden], 1)
        width, length = hidden.shape[1], batch.get("length")
        if length is not None:
            times = frames_after(length, self.shape[:1], self.strides[:1], False).clamp(min=1)
            length = before + times * self.bands
        return States(
            hidden=hidden,
            validity=None if length is None else validity_of(length, width),
            length=length,
            indexed=slice(before, width),
            extras={"features": patches},
        )

    def no_decay(self) -> list[nn.Parameter]:
        """The vectors in front."""
        return [] if self.tokens is None else [self.tokens]


def _check(patch: list[int], strides: list[int], features: int) -> None:
    problems = [
        f"{key}: {list(values)} must be two numbers of at least 1, for frames and filter banks."
        for key, values in (("spectrogram_patch", patch), ("spectrogram_strides", strides))
        if len(values) != 2 or min(values) < 1
    ]
    if not problems and patch[1] > features:
        problems.append(
            f"spectrogram_patch: a patch of {patch[1]} filter banks does not fit into "
            f"audio_feature_size {features}."
        )
    if problems:
        raise ConfigError(problems)
