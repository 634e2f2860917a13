"""Sentence-pair prediction."""

from __future__ import annotations

import torch

from uer.batch import Batch
from uer.components import Target
from uer.layers.cross_entropy import cross_entropy
from uer.layers.linear import Linear
from uer.layers.pooling import places, pool
from uer.score import Score
from uer.signature import Given
from uer.states import States
from uer.wanted import Places


class SentencePair(Target):
    """Tells true pairs from false ones by the document's first token.

    Next-sentence prediction of BERT (arXiv:1810.04805), sentence order of ALBERT
    (arXiv:1909.11942), image-text matching: 0 the pair belongs together, 1 it does not.
    """

    labels = ("value",)

    def __init__(self, *, input_size: Given[int]) -> None:
        super().__init__()
        self.hidden = Linear(input_size, input_size)
        self.output = Linear(input_size, 2)

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of documents."""
        return self.count(batch)

    def wants(self, states: States, batch: Batch, stream: int = 0) -> Places | None:
        """[M] first tokens."""
        return places(states, "first")

    def forward(self, states: States, batch: Batch) -> Score:
        """Score the first tokens of D documents against ``labels.<name>.value`` [D]."""
        first = torch.tanh(self.hidden(pool(states, "first")))
        return cross_entropy(self.output(first), batch[f"labels.{self.name}.value"])
