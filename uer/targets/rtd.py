"""Replaced-token detection."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Embedding, Encoder, Target
from uer.errors import ConfigError
from uer.glossary import HiddenAct
from uer.layers.activations import ACTIVATIONS
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.model import Model
from uer.score import Ratio, Score
from uer.signature import Factory, Given
from uer.states import States
from uer.targets.mlm import MaskedLanguageModel


class Generator(Model):
    """A small masked language model that writes what a discriminator reads.

    Args:
        shared_embedding: the discriminator's.
        embedding: its own; without, it reads with the discriminator's (tables and norm).
        encoder: its own, narrower than the discriminator's.
        target: one masked language model, with its λ.
        tie_weights: its output layer shares the word table.
    """

    def __init__(
        self,
        *,
        shared_embedding: Given[Embedding],
        embedding: Factory[Embedding] | None = None,
        encoder: Factory[Encoder],
        target: list[Factory[Target]],
        tie_weights: Annotated[bool, "output layers share the word table"] = False,
    ) -> None:
        super().__init__(
            embedding=embedding or _Shared(shared_embedding),
            encoder=encoder,
            target=target,
            tie_weights=tie_weights,
        )
        heads = list(self.heads.values())
        if len(heads) != 1 or not isinstance(heads[0], MaskedLanguageModel):
            raise ConfigError(
                [f"generator.target: {list(self.heads)} must be one masked language model (mlm)."]
            )

    @property
    def head(self) -> MaskedLanguageModel:
        """Its only target."""
        (head,) = self.heads.values()
        assert isinstance(head, MaskedLanguageModel)
        return head


class ReplacedTokenDetection(Target):
    """Says of every token whether it was replaced (ELECTRA, arXiv:2003.10555).

    A generator predicts the masked tokens and is trained as a masked language model; samples of its
    predictions take their places, and the model, the discriminator, reads the result. Where a
    sample happens to be the token that stood there, nothing was replaced. No gradient passes
    through the samples. As in the original they come from the whole vocabulary: a sampled special
    token is a replaced token like others, for padding and documents are no matter of ids.

    The section ``generator`` describes a model of its own; the weights are those of the entries::

        target: [{rtd: {weight: 50}}]
        generator: {encoder: transformer, …, target: mlm, tie_weights: true}

    Without a generator it scores a batch that says itself what was replaced: a trained
    discriminator of which the generator is not at hand.
    """

    labels = ()

    def __init__(
        self,
        *,
        input_size: Given[int],
        generator: Factory[Generator] | None = None,
        generator_temperature: Annotated[
            float, "the generator's predictions are divided by it before sampling"
        ] = 1.0,
        hidden_act: HiddenAct = "gelu",
    ) -> None:
        super().__init__()
        if not generator_temperature > 0:
            raise ConfigError([f"generator_temperature: {generator_temperature} must be above 0."])
        self.hidden = Linear(input_size, input_size)
        self.activation = ACTIVATIONS[hidden_act]
        self.output = Linear(input_size, 1)
        self.temperature = generator_temperature
        self._make = generator

    def attach(self, model: nn.Module) -> None:
        """Make the generator, which may read with the model's embedding."""
        assert isinstance(model, Model)
        if model.decoder is not None:
            raise ConfigError(["target: rtd reads the encoder's tokens; leave the decoder out."])
        if self._make is not None:
            self.generator = self._make.given(shared_embedding=model.embedding)()

    def companions(self) -> dict[str, nn.Module]:
        """The generator."""
        return {} if self._make is None else {"generator": self.generator}

    def prepare(self, batch: Batch) -> tuple[Batch, dict[str, Score]]:
        """Put samples of the generator's predictions in the places of the masked tokens.

        Returns:
            The batch with other ``src.ids`` and ``labels.<name>.value`` [B * L], 1 where a token
            was replaced; and the generator's score.

        Raises:
            ConfigError: there is no generator, and the batch does not say what was replaced.
        """
        if self._make is None:
            if f"labels.{self.name}.value" not in batch:
                raise ConfigError(
                    [
                        f"target '{self.name}' needs the key 'generator' to be trained: a section "
                        "that describes the model which replaces tokens."
                    ]
                )
            return batch, {}
        head = self.generator.head
        ids, index = batch["src.ids"], batch[f"labels.{head.name}.index"]
        value = batch[f"labels.{head.name}.value"]
        logits = head.logits(self.generator.states(batch).at(index))
        sampled = sample(logits, self.temperature)
        replaced = torch.zeros_like(ids).flatten().scatter(0, index, (sampled != value).long())
        changed = batch.replace(
            src__ids=ids.flatten().scatter(0, index, sampled).view_as(ids),
            **{f"labels__{self.name}__value": replaced},
        )
        return changed, {f"generator.{head.name}": cross_entropy(logits, value)}

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of tokens, padding not counted; without any masked one there are none."""
        return self._real(batch).sum()

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] against ``labels.<name>.value`` [B * L], 1 for replaced tokens."""
        logits, real = self.logits(states.hidden).flatten().float(), self._real(batch)
        replaced = batch[f"labels.{self.name}.value"].float() * real
        losses = F.binary_cross_entropy_with_logits(logits, replaced, reduction="none")
        said = (logits.detach() > 0).float() * real
        return Score(
            (losses * real).sum(),
            {
                "accuracy": Ratio(((said == replaced) * real).sum(), real.sum()),
                "precision": Ratio((said * replaced).sum(), said.sum()),
                "recall": Ratio((said * replaced).sum(), replaced.sum()),
            },
        )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […], positive where a token seems replaced."""
        return self.output(self.activation(self.hidden(hidden))).squeeze(-1)

    def _real(self, batch: Batch) -> torch.Tensor:
        """[B * L] float, 1 at tokens that count and 0 at padding."""
        ids, validity = batch["src.ids"], batch.get("src.validity")
        alone = self._make is None
        counts = alone or len(batch[f"labels.{self.generator.head.name}.value"]) > 0
        if validity is None or not counts:
            return torch.full((ids.numel(),), float(counts), device=ids.device)
        return validity.flatten().float()


def sample(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """[M] classes drawn from softmax(logits [M, V] / temperature).

    The largest of logits with Gumbel noise is such a draw, and the noise comes from torch's own
    generator: nothing waits for the device, and a resumed run draws the same.
    """
    logits = logits.detach().float() / temperature
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)


class _Shared:
    """A factory that hands out what is there already."""

    name = "shared"

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    def __call__(self, **fixed: Any) -> Embedding:
        return self._embedding

    def given(self, **facts: Any) -> _Shared:
        return self
