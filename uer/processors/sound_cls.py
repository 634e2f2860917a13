"""Sounds with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.processors._media import Decoded
from uer.processors._sound import Crop, SoundProcessor, with_fields
from uer.processors.base import Prepared
from uer.signature import default
from uer.sounds.base import Sounds


class SoundCls(SoundProcessor):
    """Labelled sounds, one per instance; without the column ``label`` they have no labels.

    A column of several numbers per row holds soft labels.
    """

    corpus: ClassVar[str] = "labelled_sounds"
    provides: ClassVar[frozenset[str]] = frozenset({"src.frames", "src.wave", "labels.cls"})

    def __init__(self, *, sounds: Sounds = default("fbank"), crop: Crop = None) -> None:
        self.set_up(sounds, crop)

    def indexed(self, store: TokenStore, documents: Ints) -> Instances:
        """See `SoundProcessor.indexed`."""
        made = super().indexed(store, documents)
        if "label" not in store.columns:
            return made
        return with_fields(made, label=np.asarray(store.columns["label"])[documents])

    def assemble(
        self, decoded: Decoded, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances
    ) -> Prepared:
        """Look the labels up."""
        heard, _ = self.heard(decoded.arrays)
        label = instances.fields.get("label")
        labels = {} if label is None else {"cls": np.asarray(label[decoded.which])}
        return Prepared({}, row_labels=labels, arrays=heard)
