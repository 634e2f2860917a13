"""The model: five parts, joined.

A new model made of existing parts is one configuration file; nothing here is edited for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Decoder, Embedding, Encoder, Part, Target, decoders
from uer.errors import ConfigError, DataError
from uer.glossary import MaxSeqLength
from uer.score import Score
from uer.signature import Factory
from uer.states import States
from uer.wanted import Wanted


class Model(nn.Module):
    """Embedding → encoder (→ decoder over the embedded target side) → targets.

    Args:
        embedding: of the side the encoder reads.
        encoder: makes contextual states of it.
        tgt_embedding: of the side the decoder reads; goes with a decoder.
        decoder: makes states of the target side while looking at the encoder's; or of these alone.
        target: the objectives; may be empty when a task brings its own.
        tie_weights: output layers share the word table of the side they predict.
        share_embedding: the target side uses the source side's word table.
        max_seq_length: rows longer than this are refused.
    """

    reads_section: ClassVar[bool] = True

    def __init__(
        self,
        *,
        embedding: Factory[Embedding],
        encoder: Factory[Encoder],
        tgt_embedding: Factory[Embedding] | None = None,
        decoder: Factory[Decoder] | None = None,
        target: list[Factory[Target]] = (),  # type: ignore[assignment]
        tie_weights: Annotated[bool, "output layers share the word table"] = False,
        share_embedding: Annotated[bool, "the target side uses the source's word table"] = False,
        max_seq_length: MaxSeqLength | None = None,
    ) -> None:
        super().__init__()
        reads_target = decoder is not None and decoders.get(decoder.name).reads_target
        if reads_target != (tgt_embedding is not None):
            raise ConfigError([_one_missing(decoder)])
        self.max_seq_length = max_seq_length
        self.embedding = embedding()
        self.encoder = encoder.given(
            input_size=self.embedding.output_size, input_sizes=_widths(self.embedding)
        )()
        self._check_streams()
        self.tgt_embedding, self.decoder = None, None
        if decoder is not None:
            sizes = {"memory_size": self.encoder.output_size}
            if tgt_embedding is not None:
                self.tgt_embedding = tgt_embedding()
                sizes["input_size"] = self.tgt_embedding.output_size
            self.decoder = decoder.given(**sizes)()
        if share_embedding:
            self._share_embedding()
        facts = {
            "input_size": (self.decoder or self.encoder).output_size,
            "input_sizes": _widths(self.decoder or self.encoder),
            "embedding_size": self._last_embedding().output_size,
            "features_size": self.embedding.features_size,
        }
        self.targets = nn.ModuleDict({one.name: one.given(**facts)() for one in target})
        if tie_weights:
            self._tie()
        for one in self.heads.values():
            one.attach(self)

    @property
    def heads(self) -> dict[str, Target]:
        """The model's own targets by name."""
        return {name: part for name, part in self.targets.items() if isinstance(part, Target)}

    @property
    def objectives(self) -> dict[str, Target]:
        """Everything that is trained: the targets, and those of companions."""
        found = {}
        for name, head in self.heads.items():
            for companion, model in head.companions().items():
                assert isinstance(model, Model), "a companion is a model"
                found |= {f"{companion}.{key}": one for key, one in model.objectives.items()}
            found[name] = head
        return found

    @property
    def loss_weights(self) -> dict[str, float]:
        """λ of every target."""
        return {name: target.loss_weight for name, target in self.objectives.items()}

    @property
    def additive(self) -> bool:
        """Every loss is a sum over items, so accumulation equals one big batch."""
        return all(target.additive for target in self.objectives.values())

    @property
    def packable(self) -> bool:
        """Several documents may share a row."""
        companions = [model for head in self.heads.values() for model in head.companions().values()]
        parts = (self.embedding, self.encoder, self.tgt_embedding, self.decoder)
        return all(part.packable for part in parts if part is not None) and all(
            getattr(model, "packable", False) for model in companions
        )

    def states(self, batch: Batch, readers: Iterable[Target] = ()) -> States:
        """What the targets score: of the decoder where there is one, else of the encoder.

        Args:
            batch: what the model reads.
            readers: those who are going to read the states, if they are known; what they do not
                want need not be computed.

        Raises:
            DataError: the rows are longer than the model allows.
        """
        states = self.embedding(self._checked(batch.side("src")), None)
        if self.decoder is None:
            states = _marked(states, batch, list(readers))
        states = self.encoder(states)
        if self.decoder is not None:
            embedded = None
            if self.tgt_embedding is not None:
                embedded = self.tgt_embedding(self._checked(batch.side("tgt")), None)
            states = self.decoder(embedded, states)
        return states

    def forward(self, batch: Batch) -> dict[str, Score]:
        """Score every target on a batch."""
        scores = {}
        for head in self.heads.values():
            batch, of_companions = head.prepare(batch)
            scores |= of_companions
        states = self.states(batch, self.heads.values())
        return scores | {name: head(states, batch) for name, head in self.heads.items()}

    def weights(self, batch: Batch) -> dict[str, torch.Tensor]:
        """How many items a batch holds for every target; known before `forward`."""
        return {name: target.weight(batch) for name, target in self.objectives.items()}

    def on_start(self) -> None:
        """Tell every part that the weights are loaded and training begins."""
        for module in self.modules():
            if isinstance(module, Part):
                module.on_start()

    def on_update(self, step: int, total: int) -> None:
        """Tell every part that update ``step`` of ``total`` is done."""
        for module in self.modules():
            if isinstance(module, Part):
                module.on_update(step, total)

    def on_resume(self, step: int, total: int) -> None:
        """Tell every part that the run goes on behind update ``step``."""
        for module in self.modules():
            if isinstance(module, Part):
                module.on_resume(step, total)

    def decay_groups(
        self,
    ) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
        """Trainable parameters with weight decay, and those without, as their modules declare."""
        spared = {
            id(parameter)
            for module in self.modules()
            if hasattr(module, "no_decay")
            for parameter in module.no_decay()  # type: ignore[operator]
        }
        named = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        return (
            [(name, p) for name, p in named if id(p) not in spared],
            [(name, p) for name, p in named if id(p) in spared],
        )

    def hidden(self) -> set[str]:
        """Names of the parameters of hidden layers: no embeddings, no heads."""
        stacks = [m for m in self.modules() if isinstance(m, Encoder | Decoder)]
        return set().union(*self._names(layer for stack in stacks for layer in stack.stages()))

    def stages(self) -> list[set[str]]:
        """Names of the parameters of embeddings and layers, in the order a batch passes them."""
        path = [self.embedding, *self.encoder.stages()]
        if self.tgt_embedding is not None:
            path.append(self.tgt_embedding)
        if self.decoder is not None:
            path += self.decoder.stages()
        return self._names(path)

    def _check_streams(self) -> None:
        if len(_widths(self.embedding)) > 1 and not self.encoder.output_sizes:
            raise ConfigError(
                ["encoder: it reads one of the embedding's streams only; choose encoder: dual."]
            )

    def _names(self, modules: Iterable[nn.Module]) -> list[set[str]]:
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        return [{names[id(parameter)] for parameter in m.parameters()} for m in modules]

    def _last_embedding(self) -> Embedding:
        """The embedding of the side that the targets predict."""
        return self.tgt_embedding or self.embedding

    def _share_embedding(self) -> None:
        source, shared = self.embedding.table, self.tgt_embedding
        if shared is None or source is None or shared.table is None:
            raise ConfigError(["share_embedding: needs a word embedding on both sides."])
        if shared.table.shape != source.shape:
            raise ConfigError(
                [
                    f"share_embedding: the source table is {list(source.shape)}, the target table "
                    f"{list(shared.table.shape)}; both sides need one vocabulary."
                ]
            )
        shared.share(source)

    def _tie(self) -> None:
        table = self._last_embedding().table
        if table is None:
            raise ConfigError(["tie_weights: there is no word embedding to share."])
        for head in self.heads.values():
            head.tie(table)

    def _checked(self, side: Batch) -> Batch:
        # Masked copies have the positions of what they stand for: such rows may be longer.
        if self.max_seq_length is None or "order" in side:
            return side
        for name, ids in side.items():
            length = ids.shape[1] if name.rpartition(".")[2] == "ids" else 0
            if length > self.max_seq_length:
                raise DataError(
                    f"a row of {length} tokens is longer than max_seq_length "
                    f"{self.max_seq_length}; lower --seq_length."
                )
        return side


def _marked(states: States, batch: Batch, readers: list[Target]) -> States:
    """The same states, which say what of every stream will be read."""

    def marked(one: States, stream: int) -> States:
        rows, length = one.hidden.shape[:2]
        asked = [reader.wants(one, batch, stream) for reader in readers]
        return replace(one, wanted=Wanted.by_all(asked, (rows, length)))

    if not states.streams:
        return marked(states, 0)
    streams = (marked(one, number) for number, one in enumerate(states.streams))
    return replace(states, streams=tuple(streams))


def _one_missing(decoder: Factory[Decoder] | None) -> str:
    """What is wrong with a decoder and the embedding of a target side."""
    if decoder is not None and not decoders.get(decoder.name).reads_target:
        return f"decoder '{decoder.name}' reads no target side; leave tgt_embedding out."
    return "decoder and tgt_embedding go together; one of them is missing."


def _widths(part: Embedding | Encoder | Decoder) -> tuple[int, ...]:
    """The width of every stream that a part makes."""
    return getattr(part, "output_sizes", ()) or (part.output_size,)
