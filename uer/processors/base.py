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
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from uer.data.instances import Instances, Ints, Ragged, TokenStore
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.registry import Registry

TokenLabels: TypeAlias = tuple[str, Ints, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the model reads of n instances, and what it should say about them.

    Args:
        sides: the tokens of each side (``src``, ``tgt``) after corruption.
        token_labels: by target: (side, [M] places in the side's tokens, [M] values). The further
            labels of a target carry their own prefix behind a dot: ``bilm.backward`` fills
            ``labels.bilm.backward_index`` and ``labels.bilm.backward_value``.
        row_labels: by target: [n] classes, or [n, C] soft labels.
    """

    sides: dict[str, Ragged]
    token_labels: dict[str, TokenLabels] = field(default_factory=dict)
    row_labels: dict[str, NDArray[Any]] = field(default_factory=dict)

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
        )


class Processor(ABC):
    """Turns a store into instances, and instances into model input with labels.

    The constructor's keyword-only parameters are configuration keys and command-line flags; facts
    about the tokenizer are `Given`.

    Attributes:
        corpus: the corpus format that preprocessing reads for it; see `uer.data.corpus`.
        provides: the batch fields that it can fill, labels without ``.index`` and ``.value``.
        two_tokenizers: the target side may have a tokenizer of its own.
        seq_length: no side that the encoder reads is longer.
        tgt_seq_length: no side that the decoder reads is longer; None: there is none.
        pad_id: the id at padding.
        tgt_pad_id: the id at padding of the target side; None: the same.
    """

    corpus: ClassVar[str]
    provides: ClassVar[frozenset[str]]
    two_tokenizers: ClassVar[bool] = False
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

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """[N] tokens that the model sees of each instance after `prepare`, by side; never fewer.

        Rows are planned with these, so a bound is enough where corruption shortens at random.
        """
        return {name: view.lengths() for name, view in instances.views().items()}

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """Figures worth printing at the start of a run.

        Returns:
            ``instances``; ``tokens`` of the store; ``tokens_truncated``, those of them that stand
            in no instance of this epoch.
        """
        views = instances.views().values()
        tokens = sum(len(store.sides[name].tokens) for name in {view.side for view in views})
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
