"""BERT's tokenizer: WordPiece on cleaned text, Chinese characters one by one.

The Rust library does the tokenising, `uer.tokenizers._word_cache` remembers its answers word by
word. The ids are those of ``transformers``' BertTokenizerFast with ``split_special_tokens=True``.
Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from uer.tokenizers._files import read_vocabulary, vocabulary_file
from uer.tokenizers._word_cache import WordCache
from uer.tokenizers.base import (
    CHINESE,
    Encoded,
    SpecialTokens,
    Tokenizer,
    VocabPath,
    require_unknown,
)

CONTINUES = "##"
_BLANK_BESIDE_CHINESE = re.compile(f"(?<=[{CHINESE}]) | (?=[{CHINESE}])")


class BertTokenizer(Tokenizer):
    """BERT's tokenizer: WordPiece on cleaned text, Chinese characters one by one."""

    def __init__(
        self,
        *,
        vocab_path: VocabPath,
        do_lower_case: Annotated[bool, "lower the case and strip accents"] = True,
        special_tokens: SpecialTokens = None,
    ) -> None:
        vocabulary = read_vocabulary(vocab_path)
        super().__init__(
            vocabulary=vocabulary,
            source=vocab_path,
            files={"vocab_path": vocabulary_file(vocabulary)},
            special_tokens=special_tokens,
            options={"do_lower_case": do_lower_case},
        )
        require_unknown(self)
        unknown, special = self.special_tokens["unk"], set(self.special_ids.tolist())
        pieces = {t: n for t, n in self._ids.items() if t == unknown or n not in special}
        rust = RustTokenizer(WordPiece(pieces, unk_token=unknown))
        set_bert_splitting(rust, do_lower_case)
        self._words = WordCache(rust)
        self._begins_word = np.array([not token.startswith(CONTINUES) for token in self.vocabulary])

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        pieces = self._words.encode(texts, offsets=offsets)
        return Encoded(pieces.ids, pieces.lengths, self._begins_word[pieces.ids], pieces.offsets)

    def join(self, tokens: list[str]) -> str:
        """Words with a blank between them, but none beside a Chinese character."""
        text = " ".join(tokens).replace(f" {CONTINUES}", "")
        return _BLANK_BESIDE_CHINESE.sub("", text)


def set_bert_splitting(rust: RustTokenizer, do_lower_case: bool) -> None:
    """Give a Rust tokenizer BERT's normaliser and pre-tokeniser.

    Args:
        rust: the tokenizer to change.
        do_lower_case: lower the case and strip accents.
    """
    rust.normalizer = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=do_lower_case
    )
    rust.pre_tokenizer = BertPreTokenizer()
