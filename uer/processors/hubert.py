"""The codes of masked frames (HuBERT, https://arxiv.org/abs/2106.07447)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.frames import KERNEL_SIZES
from uer.glossary import ConvKernelSizes, ConvStrides
from uer.processors._masked_frames import FrontEnd, MaskLength, MaskProb, Spans
from uer.processors._media import Decoded
from uer.processors._sound import FIRST, Crop, SoundProcessor, with_fields
from uer.processors.base import PatchLabels, Prepared
from uer.signature import default
from uer.sounds.base import Sounds

_SLACK = 2  # frames by which codes made elsewhere may be more or fewer


class Hubert(SoundProcessor):
    """Sounds with a code for every frame behind the front end; those of masked frames are asked.

    The codes come from a clustering that was done before and stand in the corpus. A stretch of a
    sound begins at a frame, so that its codes are those of the same frames.
    """

    corpus: ClassVar[str] = "coded_sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.wave", "src.masked", "labels.hubert"})

    def __init__(
        self,
        *,
        sounds: Sounds = default("wave"),
        crop: Crop = 250_000,
        mask_time_prob: MaskProb = 0.8,
        mask_time_length: MaskLength = 10,
        conv_kernel_sizes: ConvKernelSizes = KERNEL_SIZES,  # type: ignore[assignment]
        conv_strides: ConvStrides = None,
    ) -> None:
        self.front_end = FrontEnd(conv_kernel_sizes, conv_strides)
        self.spans = Spans.checked(mask_time_prob, mask_time_length)
        self.crop_step = self.front_end.stride
        self.set_up(sounds, crop)
        sounds.shortest = max(sounds.shortest, self.front_end.samples(3))

    def admitted(self, store: TokenStore) -> Ints:
        """See `SoundProcessor.admitted`; also left out is what has not a code for every frame."""
        return np.intersect1d(super().admitted(store), np.flatnonzero(self._coded(store)))

    def indexed(self, store: TokenStore, documents: Ints) -> Instances:
        """See `SoundProcessor.indexed`; the field ``codes`` is the column, by documents."""
        made = super().indexed(store, documents)
        return with_fields(made, codes=_codes(store), document=documents)

    def _why(self, size: int) -> tuple[str, str]:
        """See `SoundProcessor._why`."""
        if self.sounds.shortest <= size <= self.sounds.longest:
            return "other codes", f"{int(self.front_end.frames(np.array(size)))} frames"
        return super()._why(size)

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Mask stretches, and look the codes of masked frames up."""
        heard, length = self.heard(decoded.arrays)
        counts = self.front_end.frames(length)
        masked, values = [], []
        first = np.asarray(decoded.arrays[FIRST]) // self.crop_step
        for number, begin, frames in zip(decoded.which.tolist(), first, counts, strict=True):
            row = self.spans.masked(int(frames), draw, number)
            codes = instances.fields["codes"][instances.fields["document"][number]]
            known = np.flatnonzero(row[: len(codes) - begin])
            values.append((known, codes[begin + known]))
            masked.append(row)
        labels = PatchLabels(
            np.repeat(np.arange(len(values)), [len(place) for place, _ in values]),
            np.concatenate([place for place, _ in values]),
            counts,
            value=np.concatenate([codes for _, codes in values]),
        )
        arrays = {**heard, "src.masked": masked}
        return Prepared({}, arrays=arrays, patch_labels={"hubert": labels})

    def _coded(self, store: TokenStore) -> NDArray[np.bool_]:
        """[D] whether a document has a code for every frame, or nearly."""
        wanted = self.front_end.frames(self.sizes(store))
        return np.abs(np.diff(_codes(store).offsets) - wanted) <= _SLACK


def _codes(store: TokenStore) -> Any:
    """The column of codes.

    Raises:
        DataError: there is none.
    """
    if "codes" not in store.columns:
        raise DataError(
            "the processor 'hubert' needs a code for every frame, and the data have none; "
            "preprocess a corpus with codes for it."
        )
    return store.columns["codes"]
