"""Causal language modelling on JSON lines, as large language models are trained."""

from __future__ import annotations

from typing import ClassVar

from uer.processors.lm import Lm


class LlmPretrain(Lm):
    """As `lm`, on a corpus of JSON lines {"text": "…"}.

    ``--packing joined`` lets documents that share a row see each other, as these models are usually
    trained.
    """

    corpus: ClassVar[str] = "jsonl"
