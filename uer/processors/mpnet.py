"""Masked and permuted language modelling (MPNet, https://arxiv.org/abs/2004.09297)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import MaxSeqLength, SeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared
from uer.processors.mlm import FullSentences, Mlm
from uer.signature import Given, default


class MPNet(Mlm):
    """Whole sentences, and behind them masked copies of the predicted tokens in a random order.

    [CLS] sentences [SEP] stay as they are; the masking decides which tokens are predicted and what
    stands in their copies. What is not predicted comes first in the paper's permutations; the order
    in which it comes changes nothing, so only the predicted tokens are put into a random order.

    The copies count towards ``seq_length``: with single tokens masked, a row of 589 has 512 tokens
    of text and 77 copies.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "src.order", "labels.mlm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        max_seq_length: MaxSeqLength | None = None,
        full_sentences: FullSentences = False,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        super().__init__(
            seq_length=seq_length,
            full_sentences=full_sentences,
            masking=masking,
            pad_id=pad_id,
            cls_id=cls_id,
            sep_id=sep_id,
        )
        self.require_seq_length(4)  # [CLS], a token, [SEP], its copy
        text = np.arange(1, min(seq_length, max_seq_length or seq_length) - 1)
        fitting = text[text + 2 + self.masking.most(text) <= seq_length]
        if len(fitting) == 0:
            raise ConfigError([f"max_seq_length: {max_seq_length} leaves no room for text."])
        self._room = int(fitting[-1])

    @property
    def room(self) -> int:
        """Tokens of text that an instance can hold beside their copies."""
        return self._room

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Choose what is predicted, and append its copies in a random order."""
        text = gathered["src"]
        masked = self.masking(text, draw)
        owner = text.owners()[masked.place]
        luck = draw.bits("permutation", text.which[owner], text.positions()[masked.place])
        shuffled = np.lexsort((luck, owner))
        place, owner = masked.place[shuffled], owner[shuffled]
        counts = np.bincount(owner, minlength=len(text))
        before = np.cumsum(counts) - counts  # copies of the instances before
        turn = np.arange(len(place)) - before[owner] + 1
        order = np.zeros(len(text.ids), np.int64)
        order[place] = turn
        # Where tokens and copies come to stand.
        tokens = np.arange(len(text.ids)) + np.repeat(before, text.lengths())
        copies = np.arange(len(place)) + text.offsets[1:][owner]

        def joined(of_tokens: Ints, of_copies: Ints) -> Ints:
            values = np.empty(len(tokens) + len(copies), np.int64)
            values[tokens], values[copies] = of_tokens, of_copies
            return values

        made = Ragged.of(joined(text.ids, masked.ids[place]), text.lengths() + counts, text.which)
        made = replace(
            made,
            position=joined(text.positions(), text.positions()[place]),
            order=joined(order, -turn),
        )
        return Prepared({"src": made}, {"mlm": ("src", copies, masked.value[shuffled])})

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`."""
        text = instances.length.sum(axis=1, dtype=np.int64)
        return {"src": instances.lengths() + self.masking.most(text)}
