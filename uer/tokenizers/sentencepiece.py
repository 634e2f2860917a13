"""Any sentencepiece model, with its own ids: T5's, LLaMA's, ALBERT's, ….

Special tokens are those that the model itself names. T5's sentinels are no pieces of its model:
they stand behind them (``extra_ids: 100``), the first one last.
Source: Kudo & Richardson 2018, https://arxiv.org/abs/1808.06226
"""

from __future__ import annotations

from uer.errors import ConfigError
from uer.tokenizers._pieces import PieceTokenizer, SpmModel
from uer.tokenizers._special_tokens import FIRST_SENTINEL
from uer.tokenizers.base import ExtraIds, SpecialTokens, SpmModelPath


class SentencepieceTokenizer(PieceTokenizer):
    """Any sentencepiece model, with its own ids: T5's, LLaMA's, ALBERT's, …."""

    def __init__(
        self,
        *,
        spm_model_path: SpmModelPath,
        extra_ids: ExtraIds = 0,
        special_tokens: SpecialTokens = None,
    ) -> None:
        model = SpmModel(spm_model_path)
        if extra_ids < 0:
            raise ConfigError([f"extra_ids: {extra_ids} is negative."])
        if extra_ids and FIRST_SENTINEL in model.pieces:
            raise ConfigError(
                [f"extra_ids: {spm_model_path} has {FIRST_SENTINEL} already; leave the key out."]
            )
        super().__init__(
            model=model,
            table=range(len(model.pieces)),
            vocabulary=[
                *model.pieces,
                *(f"<extra_id_{number}>" for number in reversed(range(extra_ids))),
            ],
            special_tokens=special_tokens,
            options={"extra_ids": extra_ids},
            defaults=model.named(),
        )
