"""XLM-RoBERTa's tokenizer: a sentencepiece model under fairseq's ids.

The vocabulary begins with ``<s> <pad> </s> <unk>`` where the model has ``<unk> <s> </s>``, and ends
with ``<mask>``. Source: Conneau et al. 2019, https://arxiv.org/abs/1911.02116
"""

from __future__ import annotations

from uer.errors import DataError
from uer.tokenizers._pieces import PieceTokenizer, SpmModel
from uer.tokenizers.base import SpecialTokens, SpmModelPath

_FIRST = ("<s>", "<pad>", "</s>", "<unk>")
_OF_MODEL = ["<unk>", "<s>", "</s>"]
_DEFAULTS = {
    "pad": "<pad>",
    "unk": "<unk>",
    "cls": "<s>",
    "sep": "</s>",
    "mask": "<mask>",
    "bos": "<s>",
    "eos": "</s>",
}


class XlmrobertaTokenizer(PieceTokenizer):
    """XLM-RoBERTa's tokenizer: a sentencepiece model under fairseq's ids."""

    def __init__(
        self, *, spm_model_path: SpmModelPath, special_tokens: SpecialTokens = None
    ) -> None:
        model = SpmModel(spm_model_path)
        if model.pieces[:3] != _OF_MODEL:
            raise DataError(
                f"a model of XLM-RoBERTa begins with {' '.join(_OF_MODEL)}, this one with "
                f"{' '.join(model.pieces[:3])}; take the tokenizer sentencepiece.",
                spm_model_path,
            )
        super().__init__(
            model=model,
            table=[3, 0, 2, *range(4, len(model.pieces) + 1)],
            vocabulary=[*_FIRST, *model.pieces[3:], "<mask>"],
            special_tokens=special_tokens,
            options={},
            defaults=_DEFAULTS,
        )
