"""THE MAP: a pre-training model is a choice of five parts.

::

    src ──▶ Embedding ──▶ Encoder ──┬──────────────────────▶ Target(s) ──▶ Score
                                    └─ memory ─▶ Decoder ──▶──┘
    tgt ──▶ target Embedding ───────────────────▶┘

Each kind has one abstract base here and one registry. A part is one file in the kind's folder; the
file's stem is its name in configuration files. The signature of a part's constructor is its schema:
keyword-only, typed, every parameter documented (see `uer.builder`). A part never sees a
configuration object; what it needs of its neighbours and of the data are `Given` parameters.

Shapes: B rows, L tokens, H hidden size, E embedding size, D documents (a packed row holds several),
M predicted items. What flows is `Batch` → `States` → `Score`, each documented in its own file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from uer.batch import Batch
from uer.errors import ConfigError
from uer.registry import Registry
from uer.score import Score
from uer.states import States
from uer.wanted import Places


class Part(nn.Module):
    """What the five kinds share.

    A part initialises its own parameters in its constructor and says here which of them weight
    decay leaves alone; nothing is decided by the spelling of a name.
    """

    def no_decay(self) -> list[nn.Parameter]:
        """Parameters of this part itself, not of its children, that get no weight decay."""
        return []

    def on_start(self) -> None:
        """Called before the first update of a process, when all weights are loaded."""

    def on_update(self, step: int, total: int) -> None:
        """Called after update ``step`` (from 1) of ``total``: schedules, momentum, clamping."""

    def on_resume(self, step: int, total: int) -> None:
        """Called when a run goes on behind update ``step``: what follows from the step alone."""


class Embedding(Part, ABC):
    """Turns one side of a batch into vectors.

    In a list (``embedding: [word, pos, seg]``) the first reads the batch, the others add to what
    they receive; the list is itself an embedding, called ``sum``. The same parts serve as target
    embeddings (``tgt_embedding``), with the facts of the target side.

    Attributes:
        output_size: E, width of the vectors.
        output_sizes: the width of every stream; empty: there is one.
        first: may stand first in a list, that is: makes States from a batch alone.
        packable: as for encoders; False where vectors depend on their neighbours in the row.
        features_size: C, width of what it read before anything was masked: ``extras["features"]``
            [B, P, C], which targets predict; None: it keeps no such thing.
    """

    list_name: ClassVar[str] = "sum"
    first: ClassVar[bool] = False
    packable: bool = True
    features_size: int | None = None
    output_size: int
    output_sizes: tuple[int, ...] = ()

    @property
    def table(self) -> nn.Parameter | None:
        """[V, E] the word table that output layers may share, or None."""
        return None

    @abstractmethod
    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed a side.

        Args:
            batch: the side's fields (``ids``, ``segment``, …).
            states: what the parts before made, [B, L, E]; None for the first.

        Returns:
            States with hidden [B, L, E].
        """

    def share(self, table: nn.Parameter) -> bool:
        """Use another side's word table [V, E] instead of one's own; False if there is none."""
        return False


class Encoder(Part, ABC):
    """Turns embedded tokens into contextual states.

    Attributes:
        output_size: H, width of the states.
        output_sizes: the width of every stream; empty: it reads and makes one only.
        packable: documents that share a row do not see each other. Where False (a recurrence, a
            convolution across the row) the loader pads instead of packing.
        reads_order: tokens do not see those that are predicted after them, where there is an order.
    """

    packable: bool = False
    reads_order: ClassVar[bool] = False
    output_size: int
    output_sizes: tuple[int, ...] = ()

    @classmethod
    def looks_ahead(cls, keys: Mapping[str, Any]) -> bool:
        """Whether a token's state knows what follows it; then no target may ask for that.

        Args:
            keys: of the configuration, as far as they are given.
        """
        return False

    @abstractmethod
    def forward(self, states: States) -> States:
        """Encode.

        Args:
            states: hidden [B, L, input_size].

        Returns:
            States with hidden [B, L', H]; L' = L unless the encoder says otherwise.
        """

    def stages(self) -> list[nn.Module]:
        """Its hidden layers in the order the states pass them; by default one: all of it.

        Layer-wise learning rates count them, and optimizers for matrices train what is in them.
        """
        return [self]

    def keep_layers(self) -> None:
        """From now on the states carry the extra ``layers``: [N, B, L, H], what each layer made.

        Raises:
            ConfigError: it has no layers of one width.
        """
        name = type(self).__module__.rpartition(".")[2]
        raise ConfigError(
            [f"encoder: '{name}' does not give what its layers make; choose transformer."]
        )


class Decoder(Part, ABC):
    """Turns target states into contextual states, looking at the encoder's memory.

    Attributes:
        output_size: H, width of the states.
        packable: as for encoders.
        reads_target: there is a target side, with an embedding of its own; False: the memory is all
            that it reads.
    """

    packable: ClassVar[bool] = False
    reads_target: ClassVar[bool] = True
    output_size: int

    @abstractmethod
    def forward(self, states: States, memory: States) -> States:
        """Decode.

        Args:
            states: target side, hidden [B, T, input_size]; None where it reads none.
            memory: encoder's result, hidden [B, L, memory_size].

        Returns:
            States with hidden [B, T, H].
        """

    def stages(self) -> list[nn.Module]:
        """Its hidden layers in the order the states pass them; by default one: all of it."""
        return [self]


class Target(Part, ABC):
    """A training objective: scores states against the labels of a batch.

    Several targets may be trained at once; each entry may carry its own ``name`` (which labels it
    reads: ``labels.<name>.…``) and ``weight`` (λ in the sum of losses):
    ``target: [mlm, {cls: {name: topic, weight: 0.5}}]``.

    Attributes:
        name: the entry's name; the part's own name unless the entry gives one.
        loss_weight: λ of the entry.
        additive: the loss is a sum over items, so accumulation over k micro-batches equals one big
            batch. Where False (contrast within the batch), it says so at the start of a run.
        labels: the fields below ``labels.<name>.`` that it requires.
        next_token: it predicts what follows a token, so the states must not know it.
        lowest: metrics that are best low, as the loss is.
        reads_labelled: of the hidden vectors `forward` reads those that ``labels.<name>.index``
            names, and no others.
    """

    entry_keys: ClassVar[dict[str, type]] = {"name": str, "weight": float}
    additive: ClassVar[bool] = True
    labels: ClassVar[tuple[str, ...]] = ("index", "value")
    next_token: ClassVar[bool] = False
    lowest: ClassVar[tuple[str, ...]] = ()
    reads_labelled: ClassVar[bool] = False
    name: str
    loss_weight: float = 1.0

    @abstractmethod
    def weight(self, batch: Batch) -> torch.Tensor:
        """How many items ``batch`` holds for this target, known *before* the model runs.

        Returns:
            [] float tensor: the denominator of the loss, summed over an update's micro-batches.
        """

    @abstractmethod
    def forward(self, states: States, batch: Batch) -> Score:
        """Score the states.

        Args:
            states: of the decoder where there is one, else of the encoder.
            batch: the whole batch, for ``labels.<name>.…``.

        Returns:
            The loss summed over `weight(batch)` items; an exact, connected zero without items.
        """

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """All that `forward` is going to read of the hidden vectors.

        Args:
            states: what the encoder reads, with the geometry of what it makes.
            batch: the whole batch.
            stream: whose states these are.

        Returns:
            [M] flat positions, none twice, or a column; None: it may read all of them.
        """
        if not self.reads_labelled:
            return None
        return states.places(batch[f"labels.{self.name}.index"])

    def companions(self) -> dict[str, nn.Module]:
        """Models of its own that are trained beside the model, by name (ELECTRA's generator).

        Their objectives count as the model's, called ``<companion>.<objective>``.
        """
        return {}

    def attach(self, model: nn.Module) -> None:
        """Called once, when the model is whole: share its parts with a companion."""

    def prepare(self, batch: Batch) -> tuple[Batch, dict[str, Score]]:
        """Called before the model reads a batch: let companions change it.

        Args:
            batch: the whole batch.

        Returns:
            What the model reads and this target is given, and the scores of the companions'
            objectives by their full names.
        """
        return batch, {}

    def tie(self, table: nn.Parameter) -> bool:
        """Share the output matrix with a word table [V, E]; False if there is nothing to share."""
        return False

    def count(self, batch: Batch) -> torch.Tensor:
        """[] number of labelled items, the usual `weight`."""
        value = batch[f"labels.{self.name}.value"]
        return torch.full((), float(value.shape[0]), device=value.device)


embeddings: Registry[Embedding] = Registry("embedding", Embedding, "uer.embeddings")
encoders: Registry[Encoder] = Registry("encoder", Encoder, "uer.encoders")
decoders: Registry[Decoder] = Registry("decoder", Decoder, "uer.decoders")
targets: Registry[Target] = Registry("target", Target, "uer.targets")
tgt_embeddings = embeddings  # the target side chooses from the same parts
