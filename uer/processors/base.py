"""What a data processor promises: a store becomes instances, instances become model input.

A processor is pure. `Processor.index` lays all instances of an epoch out, without touching tokens;
`Processor.prepare` corrupts those of one batch and makes their labels. Whatever is random comes
from the `Draw` that both are given, by instance number; so neither the batch nor the rank matters.
Everything else (shuffling, packing, padding, tensors) is the stream's work and the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, TokenStore
from uer.data.media.references import Unread
from uer.data.ragged import Ragged, gather_sides
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.registry import Registry

TokenLabels: TypeAlias = tuple[str, Ints, NDArray[Any]]
Rows: TypeAlias = NDArray[Any] | list[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PatchLabels:
    """What should be said about M patches or frames of n instances.

    In the batch an index is ``row * P + patch``, where P is the largest of the counts.

    Args:
        row: int64 [M] which of the n instances.
        patch: int64 [M] which of its patches or frames.
        counts: int64 [n] patches or frames that each instance has.
        value: [M, …] or None, where the labels are made when the model runs.
        negative: int64 [M, K] other patches of the same instance to tell it from, or None.
    """

    row: Ints
    patch: Ints
    counts: Ints
    value: NDArray[Any] | None = None
    negative: Ints | None = None

    def fields(self) -> dict[str, NDArray[Any]]:
        """The leaves below ``labels.<t>.``."""
        start = self.row * int(self.counts.max(initial=0))
        found = {"index": start + self.patch}
        if self.value is not None:
            found["value"] = self.value
        if self.negative is not None:
            found["negative_index"] = start[:, None] + self.negative
        return found

    @staticmethod
    def join(parts: Sequence[PatchLabels]) -> PatchLabels:
        """One after the other; all parts come from the same processor."""
        before = np.cumsum([0, *(len(part.counts) for part in parts[:-1])])

        def joined(name: str) -> NDArray[Any] | None:
            pieces = [getattr(part, name) for part in parts]
            return None if pieces[0] is None else np.concatenate(pieces)

        return PatchLabels(
            np.concatenate([part.row + b for part, b in zip(parts, before, strict=True)]),
            np.concatenate([part.patch for part in parts]),
            np.concatenate([part.counts for part in parts]),
            joined("value"),
            joined("negative"),
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the model reads of n instances, and what it should say about them.

    Args:
        sides: the tokens of each side (``src``, ``tgt``) after corruption.
        token_labels: by target: (side, [M] places in the side's tokens, [M] values). The further
            labels of a target carry their own prefix behind a dot: ``bilm.backward`` fills
            ``labels.bilm.backward_index`` and ``labels.bilm.backward_value``.
        row_labels: by target: [n] classes, or [n, C] soft labels.
        arrays: further fields of the batch by their whole names (``src.image``), a row per
            instance: [n, …], or a list of n arrays whose first dimension differs (frames, samples).
            Those are padded with zeros, and where nobody else says it, ``<side>.length`` becomes
            how long each is. Instances with arrays have rows of their own.
        patch_labels: by target: labels at patches or frames.
        counts: by side: [rows] how many instances share each of its rows without seeing each other,
            in order; of a side that is not there the stream decides.
    """

    sides: dict[str, Ragged]
    token_labels: dict[str, TokenLabels] = field(default_factory=dict)
    row_labels: dict[str, NDArray[Any]] = field(default_factory=dict)
    arrays: dict[str, Rows] = field(default_factory=dict)
    patch_labels: dict[str, PatchLabels] = field(default_factory=dict)
    counts: dict[str, Ints] = field(default_factory=dict)

    @staticmethod
    def join(parts: Sequence[Prepared]) -> Prepared:
        """One after the other; all parts come from the same processor."""
        head = parts[0]
        if len(parts) == 1:
            return head
        labels = {}
        for target, (side, _, _) in head.token_labels.items():
            sizes = [len(part.sides[side].ids) for part in parts]
            before = np.cumsum([0, *sizes[:-1]])
            index = [
                part.token_labels[target][1] + b for part, b in zip(parts, before, strict=True)
            ]
            values = [part.token_labels[target][2] for part in parts]
            labels[target] = (side, np.concatenate(index), np.concatenate(values))
        return Prepared(
            {name: Ragged.join([part.sides[name] for part in parts]) for name in head.sides},
            labels,
            {
                name: np.concatenate([part.row_labels[name] for part in parts])
                for name in head.row_labels
            },
            {name: _joined([part.arrays[name] for part in parts]) for name in head.arrays},
            {
                name: PatchLabels.join([part.patch_labels[name] for part in parts])
                for name in head.patch_labels
            },
            {name: np.concatenate([part.counts[name] for part in parts]) for name in head.counts},
        )


def _joined(parts: list[Rows]) -> Rows:
    """One after the other."""
    if any(isinstance(part, list) for part in parts):
        return [row for part in parts for row in part]
    return np.concatenate(parts)


class Read(NamedTuple):
    """Some instances as the model reads them.

    Args:
        prepared: m instances, one at least.
        which: int64 [m] their numbers; in training perhaps others than those that were asked for,
            in an ordered pass perhaps fewer. Empty: none could be read, and what was prepared only
            fills the place.
        unread: what could not be read.
    """

    prepared: Prepared
    which: Ints
    unread: list[Unread]


class Processor(ABC):
    """Turns a store into instances, and instances into model input with labels.

    The constructor's keyword-only parameters are configuration keys and command-line flags; facts
    about the tokenizer are `Given`.

    Attributes:
        corpus: the corpus format that preprocessing reads for it; see `uer.data.corpus`.
        provides: the batch fields that it can fill, labels without ``.index`` and ``.value``.
        two_tokenizers: the target side may have a tokenizer of its own.
        packable: instances may share a row.
        adds_codes: ``codes_num`` codes of images stand behind the tokens in one vocabulary.
        seq_length: no side that the encoder reads is longer.
        tgt_seq_length: no side that the decoder reads is longer; None: there is none.
        pad_id: the id at padding.
        tgt_pad_id: the id at padding of the target side; None: the same.
    """

    corpus: ClassVar[str]
    provides: ClassVar[frozenset[str]]
    two_tokenizers: ClassVar[bool] = False
    packable: ClassVar[bool] = True
    adds_codes: ClassVar[bool] = False
    seq_length: int
    tgt_seq_length: int | None = None
    pad_id: int
    tgt_pad_id: int | None = None

    @abstractmethod
    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Lay out all instances of an epoch.

        Args:
            store: the tokenised corpus.
            draw: the epoch's randomness.

        Raises:
            DataError: no instance can be made of this store.
        """

    @abstractmethod
    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Corrupt some instances and make their labels.

        Args:
            gathered: the instances, written out for each side of the model: ``src`` and whatever
                stands beside it.
            draw: the randomness of the epoch they belong to.
            instances: all instances of that epoch, for their `fields`.
        """

    def read(
        self, store: TokenStore, instances: Instances, which: Ints, draw: Draw, *, ordered: bool
    ) -> Read:
        """Make model input of some instances: gather their tokens, then `prepare`.

        Args:
            store: the data.
            instances: all instances of an epoch.
            which: int64 [n] numbers of those that are wanted, one at least.
            draw: the randomness of that epoch.
            ordered: it is a pass over all instances in their order (evaluation, inference), where
                nothing is exchanged and nothing augmented.
        """
        gathered = gather_sides(store, instances, which)
        return Read(self.prepare(gathered, draw, instances), which, [])

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] tokens that the model sees of each instance after `prepare`, by side; never fewer.

        Rows are planned with these, so a bound is enough where corruption shortens at random.
        """
        return {name: view.lengths() for name, view in instances.views().items()}

    def left_out(self, store: TokenStore) -> list[Unread]:
        """Images or sounds of which no instance is made, though they may be readable."""
        return []

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """Figures worth printing at the start of a run.

        Returns:
            ``instances``; ``tokens`` of the store; ``tokens_truncated``, those of them that stand
            in no instance of this epoch.
        """
        views = instances.views().values()
        sides = {view.side for view in views if view.side is not None}
        tokens = sum(len(store.sides[name].tokens) for name in sides)
        used = sum(int(view.length.sum(dtype=np.int64)) for view in views)
        return {
            "instances": len(instances),
            "tokens": tokens,
            "tokens_truncated": tokens - used,
        }

    @property
    def name(self) -> str:
        """The name under which the registry knows this processor."""
        return type(self).__module__.rpartition(".")[2]

    def require_seq_length(self, least: int, tgt_least: int = 0) -> None:
        """Refuse lengths in which no instance has room.

        Raises:
            ConfigError: `seq_length` is smaller than ``least``, or `tgt_seq_length` than
                ``tgt_least``.
        """
        lengths = (("seq_length", self.seq_length, least),)
        if self.tgt_seq_length is not None:
            lengths += (("tgt_seq_length", self.tgt_seq_length, tgt_least),)
        problems = [
            f"{key}: {length} leaves no room for text; the processor '{self.name}' needs at least "
            f"{needed}."
            for key, length, needed in lengths
            if length < needed
        ]
        if problems:
            raise ConfigError(problems)


processors: Registry[Processor] = Registry("data_processor", Processor, "uer.processors")
