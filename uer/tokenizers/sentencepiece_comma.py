"""A sentencepiece model whose pieces "9," are cut before the comma, as XLNet and ALBERT do.

What the predecessors' tokenizer ``bert`` does when it is given ``--spm_model_path``.
Source: Yang et al. 2019, https://arxiv.org/abs/1906.08237
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uer.tokenizers._pieces import PieceTokenizer, SpmModel
from uer.tokenizers.base import SPACE_MARK, Encoded, SpecialTokens, SpmModelPath


class SentencepieceCommaTokenizer(PieceTokenizer):
    """A sentencepiece model whose pieces "9," are cut before the comma."""

    def __init__(
        self, *, spm_model_path: SpmModelPath, special_tokens: SpecialTokens = None
    ) -> None:
        model = SpmModel(spm_model_path)
        super().__init__(
            model=model,
            table=range(len(model.pieces)),
            vocabulary=model.pieces,
            special_tokens=special_tokens,
            options={},
            defaults=model.named(),
        )
        self._cut = {
            number: np.array([self._ids.get(part, self.special["unk"]) for part in parts])
            for number, piece in enumerate(model.pieces)
            if piece[-1:] == "," and piece[-2:-1].isdigit()
            for parts in [[*self._before_comma(piece[:-1]), ","]]
        }
        self._is_cut = np.isin(np.arange(self.vocab_size), list(self._cut))

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`; what is cut keeps the offset of the whole piece."""
        made = super().encode_batch(texts, offsets=offsets)
        places = np.flatnonzero(self._is_cut[made.ids])
        if not len(places):
            return made
        parts = [self._cut[number] for number in made.ids[places].tolist()]
        counts = np.ones(len(made.ids), np.int64)
        counts[places] = [len(part) for part in parts]
        ids = np.repeat(made.ids, counts)
        ids[np.repeat(self._is_cut[made.ids], counts)] = np.concatenate(parts)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        ends = np.cumsum(made.lengths)
        lengths = before[ends] - before[ends - made.lengths]
        begins = None if made.offsets is None else np.repeat(made.offsets, counts)
        return Encoded(ids, lengths, self._starts(ids, lengths), begins)

    def _before_comma(self, piece: str) -> list[str]:
        """The pieces of what stands before the comma; a mark that was not there is taken off."""
        found: list[str] = self._processor.encode(piece.replace(SPACE_MARK, ""), out_type=str)
        if found and piece[0] != SPACE_MARK and found[0][0] == SPACE_MARK:
            found[0] = found[0][1:]
        return [part for part in found if part]
