"""Several embeddings, added up."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError
from uer.glossary import Dropout as DropoutRate
from uer.layers.base import Norm
from uer.layers.dropout import Dropout
from uer.signature import Factory, default
from uer.states import States


class SumEmbedding(Embedding):
    """What a list of embeddings means: their sum, then a norm, then dropout."""

    first = True

    def __init__(
        self,
        *,
        parts: list[Factory[Embedding]],
        remove_embedding_layernorm: Annotated[bool, "no norm after the summed embeddings"] = False,
        layernorm: Factory[Norm] = default("normal"),
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__()
        made = {part.name: part() for part in parts}
        if len(made) < len(parts):
            raise ConfigError(["embedding: the same embedding is listed twice."])
        heads = [name for name, part in made.items() if part.first]
        if len(heads) != 1:
            raise ConfigError(
                [
                    f"embedding: a list needs exactly one part that reads the batch "
                    f"(such as word); {list(made)} has {len(heads)}."
                ]
            )
        order = [heads[0], *(name for name in made if name != heads[0])]
        self.parts = nn.ModuleDict({name: made[name] for name in order})
        widths = {name: part.output_size for name, part in made.items()}
        if len(set(widths.values())) > 1:
            raise ConfigError([f"embedding: parts of different width cannot be added: {widths}."])
        self.output_size = next(iter(widths.values()))
        self.packable = all(part.packable for part in self._parts())
        self.features_size = made[heads[0]].features_size
        self.norm = None if remove_embedding_layernorm else layernorm(size=self.output_size)
        self.dropout = Dropout(dropout)

    @property
    def table(self) -> nn.Parameter | None:
        """[V, E] the word table of the part that has one."""
        return next((part.table for part in self._parts() if part.table is not None), None)

    def share(self, table: nn.Parameter) -> bool:
        """Let the part that has a word table use this one."""
        return any(part.share(table) for part in self._parts())

    def forward(self, batch: Batch, states: States | None) -> States:
        """Add the parts: States with hidden [B, L, E]."""
        for part in self._parts():
            states = part(batch, states)
        assert states is not None
        hidden = states.hidden if self.norm is None else self.norm(states.hidden)
        return states.with_hidden(self.dropout(hidden))

    def _parts(self) -> list[Embedding]:
        return [part for part in self.parts.values() if isinstance(part, Embedding)]
