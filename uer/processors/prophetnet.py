"""Recovering masked stretches with a decoder (ProphetNet, https://arxiv.org/abs/2001.04063)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from uer.data.instances import Instances, Ints
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.glossary import SeqLength, TgtSeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared
from uer.processors.mlm import FullSentences, Mlm
from uer.signature import Given, default


class ProphetNet(Mlm):
    """The encoder reads a masked text, the decoder writes the masked tokens, stretch by stretch.

    The source is [CLS] sentences [SEP] as for masked language modelling; the target side is [SEP]
    and the masked tokens in their order, each predicted from those before it.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "tgt.ids", "labels.ngram"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        full_sentences: FullSentences = False,
        masking: Masking = default("block"),
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
        self.tgt_seq_length = tgt_seq_length
        most = int(self.masking.most(np.array([seq_length - 2]))[0])
        if most > tgt_seq_length:
            raise ConfigError(
                [
                    f"tgt_seq_length: up to {most} of {seq_length} tokens are masked and written; "
                    f"{tgt_seq_length} are too few."
                ]
            )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Mask the instances and line up what was masked."""
        ragged = gathered["src"]
        masked = self.masking(ragged, draw)
        counts = np.bincount(ragged.owners()[masked.place], minlength=len(ragged))
        written = np.concatenate([[self.sep_id], masked.value[:-1]])[: len(masked.value)]
        written[(np.cumsum(counts) - counts)[counts > 0]] = self.sep_id
        return Prepared(
            {
                "src": replace(ragged, ids=masked.ids),
                "tgt": Ragged.of(written, counts, ragged.which),
            },
            {"ngram": ("tgt", np.arange(len(written)), masked.value)},
        )

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`."""
        text = instances.length.sum(axis=1, dtype=np.int64)
        return {"src": instances.lengths(), "tgt": self.masking.most(text)}
