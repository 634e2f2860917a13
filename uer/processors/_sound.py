"""What the processors of sounds share: which sounds are read, which stretch, and what is masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import Medium, Unread
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.processors._media import MediaProcessor, require_media
from uer.processors.base import Rows
from uer.sounds.base import Sounds

# Columns of a store with sounds: what the header of each file says, 0 where it cannot be read.
SAMPLES, RATE = "sound_samples", "sound_rate"
FIRST = "first"  # of what was decoded: where the stretch begins that is read of a sound

Crop = Annotated[
    int | None, "of longer sounds a stretch of so many frames or samples is read; None: all"
]


class SoundProcessor(MediaProcessor):
    """Reads sounds whose length is allowed; of some a stretch only.

    Attributes:
        sounds: how they are read.
        crop: frames or samples that are read of a sound at most; None: whole sounds are.
        crop_step: stretches begin at multiples of it.
    """

    varying: ClassVar[frozenset[str]] = frozenset({"src.frames", "src.wave"})
    sounds: Sounds
    crop: int | None = None
    crop_step: int = 1

    def set_up(self, sounds: Sounds, crop: int | None = None) -> None:
        """Called by constructors."""
        self.sounds, self.crop = sounds, crop
        self.seq_length = sounds.longest if crop is None else min(crop, sounds.longest)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """One instance per sound of allowed length; nothing is random here."""
        return self.indexed(store, self.admitted(store))

    def indexed(self, store: TokenStore, documents: Ints) -> Instances:
        """Instances of the sounds of some documents."""
        return Instances.without_tokens(
            {"sound": documents}, {"size": self.sizes(store)[documents]}
        )

    def sizes(self, store: TokenStore) -> Ints:
        """[D] frames or samples of every sound; 0 where nothing can be read."""
        require_media(store, "sound", self.name)
        if SAMPLES not in store.columns:
            raise DataError(
                "the data do not say how long their sounds are; preprocess the corpus again."
            )
        samples = np.asarray(store.columns[SAMPLES], np.int64)
        rates = np.maximum(1, np.asarray(store.columns[RATE], np.int64))
        return self.sounds.lengths(samples, rates)

    def admitted(self, store: TokenStore) -> Ints:
        """[N] documents whose sounds are neither too long nor too short."""
        sizes = self.sizes(store)
        return np.flatnonzero((sizes >= self.sounds.shortest) & (sizes <= self.sounds.longest))

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] frames or samples."""
        others = {name: view.lengths() for name, view in instances.beside.items()}
        return {"src": np.minimum(instances.fields["size"], self.seq_length), **others}

    def left_out(self, store: TokenStore) -> list[Unread]:
        """See `Processor.left_out`: what is too long or too short."""
        sizes, column = self.sizes(store), store.media["sound"]
        wrong = np.setdiff1d(np.arange(len(store)), self.admitted(store)).tolist()
        return [Unread(column[number].name, *self._why(int(sizes[number]))) for number in wrong]

    def _why(self, size: int) -> tuple[str, str]:
        """Reason and detail of what is not admitted."""
        detail = f"{size:,} {self.sounds.unit}"
        if size > self.sounds.longest:
            return "too long", f"{detail}; at most {self.sounds.longest:,}"
        return "too short", f"{detail}; at least {self.sounds.shortest:,}"

    def decode(
        self, media: Mapping[str, Medium], draw: Draw, number: int, *, ordered: bool
    ) -> dict[str, NDArray[Any]]:
        """See `MediaProcessor.decode`."""
        made = self.sounds(media["sound"], draw, number)
        if not ordered:
            made = self.sounds.augment(made, draw, number)
        first = self._first(len(made), draw, number, ordered)
        stretch = made[first : first + self.seq_length]
        return {f"src.{self.sounds.field}": stretch, FIRST: np.array(first)}

    def _first(self, size: int, draw: Draw, number: int, ordered: bool) -> int:
        """Where the stretch begins that is read of a sound of so many frames or samples."""
        steps = max(0, size - self.seq_length) // self.crop_step
        if ordered:
            return steps // 2 * self.crop_step
        return int(draw.integers("crop", number, steps + 1)[0]) * self.crop_step

    def heard(self, arrays: Mapping[str, Rows]) -> tuple[dict[str, Rows], Ints]:
        """The sounds of some instances as fields of the batch, and [n] their lengths."""
        rows = arrays[f"src.{self.sounds.field}"]
        length = np.array([len(row) for row in rows], np.int64)
        return {f"src.{self.sounds.field}": rows, "src.length": length}, length


def with_texts(instances: Instances, texts: Instances) -> Instances:
    """The same sounds, each with a text beside it."""
    return replace(instances, beside={"tgt": texts})


def with_fields(instances: Instances, **fields: NDArray[Any]) -> Instances:
    """The same sounds with further facts."""
    return replace(instances, fields={**instances.fields, **fields})


def text_of_sounds(store: TokenStore, documents: Ints, processor: str) -> tuple[Ints, Ints]:
    """[N] first token and [N] length of the text of every document.

    Raises:
        DataError: there are no texts.
    """
    if "src" not in store.sides:
        raise DataError(
            f"the processor '{processor}' reads sounds with texts, and the data have no texts; "
            "preprocess a corpus of transcribed sounds for it."
        )
    side = store.sides["src"]
    bounds = np.asarray(side.sentences, np.int64)[np.asarray(side.documents, np.int64)]
    return bounds[:-1][documents], np.diff(bounds)[documents]
