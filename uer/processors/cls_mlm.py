"""Classification and masked language modelling at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from uer.data.instances import Instances
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.glossary import SeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared
from uer.processors.cls import Cls
from uer.signature import Given, default


class ClsMlm(Cls):
    """The instances of `cls`, masked; both the label and the masked tokens are predicted."""

    provides: ClassVar[frozenset[str]] = Cls.provides | {"labels.mlm"}

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        super().__init__(seq_length=seq_length, pad_id=pad_id, cls_id=cls_id, sep_id=sep_id)
        self.masking = masking

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Look the labels up and mask the texts."""
        masked = self.masking(gathered["src"], draw)
        return Prepared(
            {"src": replace(gathered["src"], ids=masked.ids)},
            {"mlm": ("src", masked.place, masked.value)},
            super().prepare(gathered, draw, instances).row_labels,
        )
