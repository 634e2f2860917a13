"""Masked patches of spectrograms (SSAST, https://arxiv.org/abs/2110.09784)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import AudioFeatureSize, SpectrogramPatch
from uer.maskings.base import require
from uer.processors._media import Decoded
from uer.processors._sound import Crop, SoundProcessor
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default
from uer.sounds.base import Sounds

_LEAST, _MOST = 3, 5  # patches of a cluster's side


class Ssast(SoundProcessor):
    """Spectrograms of which square clusters of patches are masked.

    The side of the clusters is drawn for each sound, 3 to 5 patches; they lie anywhere, overlap,
    and are cut at the border. As many patches are masked as the share says, whole ones only.
    """

    corpus: ClassVar[str] = "sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.frames", "src.masked", "labels.ssast"})

    def __init__(
        self,
        *,
        sounds: Sounds = default("fbank"),
        crop: Crop = 1024,
        audio_feature_size: AudioFeatureSize = 80,
        spectrogram_patch: SpectrogramPatch = (16, 16),  # type: ignore[assignment]
        patch_mask_rate: Annotated[float, "share of the patches that are masked"] = 0.78125,
    ) -> None:
        require(
            (0 < patch_mask_rate < 1, f"patch_mask_rate: {patch_mask_rate} is not in (0, 1)."),
            (sounds.field == "frames", "sounds: 'ssast' reads frames; choose fbank."),
            (
                len(spectrogram_patch) == 2 and min(spectrogram_patch) > 0,
                f"spectrogram_patch: {list(spectrogram_patch)} must be two positive numbers.",
            ),
        )
        self.height, width = spectrogram_patch
        self.bands = audio_feature_size // width
        self.rate = patch_mask_rate
        self.set_up(sounds, crop)
        sounds.shortest = max(sounds.shortest, self.height)
        self.require_seq_length(self.height)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Mask clusters."""
        heard, length = self.heard(decoded.arrays)
        times = length // self.height
        masked = [
            self._masked(time, draw, number)
            for time, number in zip(times.tolist(), decoded.which.tolist(), strict=True)
        ]
        places = [np.flatnonzero(row) for row in masked]
        labels = PatchLabels(
            np.repeat(np.arange(len(places)), [len(place) for place in places]),
            np.concatenate(places),
            times * self.bands,
        )
        arrays = {**heard, "src.masked": masked}
        return Prepared({}, arrays=arrays, patch_labels={"ssast": labels})

    def _masked(self, times: int, draw: Draw, number: int) -> NDArray[np.bool_]:
        """[times * bands] True at masked patches."""
        total = times * self.bands
        wanted = min(max(1, round(self.rate * total)), max(1, total - 1))
        side = _LEAST + int(draw.integers("side of clusters", number, _MOST - _LEAST + 1)[0])
        order = np.argsort(draw.bits("place of clusters", number, np.arange(total)), kind="stable")
        grid = np.arange(total).reshape(times, self.bands)
        masked = np.zeros(total, np.bool_)
        left = wanted
        for place in order.tolist():
            time, band = divmod(place, self.bands)
            cluster = grid[time : time + side, band : band + side].ravel()
            new = cluster[~masked[cluster]][:left]
            masked[new] = True
            left -= len(new)
            if not left:
                break
        return masked
