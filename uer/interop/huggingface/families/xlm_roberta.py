"""XLM-RoBERTa."""

from __future__ import annotations

from uer.interop.huggingface.families.roberta import Roberta


class XlmRoberta(Roberta):
    """XLM-RoBERTa (arXiv:1911.02116): RoBERTa of a hundred languages."""

    heads = {
        "XLMRobertaModel": (),
        "XLMRobertaForMaskedLM": ("mlm",),
        "XLMRobertaForSequenceClassification": ("cls",),
    }
