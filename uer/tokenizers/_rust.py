"""Texts through the Rust library, flat arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from tokenizers import Tokenizer as RustTokenizer

from uer.tokenizers._word_starts import WordStarts
from uer.tokenizers.base import Encoded, code_points


def encode_batch(
    rust: RustTokenizer, starts: WordStarts, texts: Sequence[str], *, offsets: bool
) -> Encoded:
    """Tokenise texts in one batch; the library looks after threads.

    Args:
        rust: the tokenizer.
        starts: says where words start.
        texts: n texts.
        offsets: also say where tokens begin, which takes longer.

    Raises:
        UserError: a text holds half a surrogate pair.
    """
    code_points("".join(texts))  # refuses what is no Unicode text
    encode = rust.encode_batch if offsets else rust.encode_batch_fast
    found = encode(list(texts), add_special_tokens=False)
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    total = int(lengths.sum())
    ids = np.fromiter(chain.from_iterable(one.ids for one in found), np.uint32, total)
    places = None
    if offsets:
        begins = (begin for one in found for begin, _ in one.offsets)
        places = np.fromiter(begins, np.int64, total)
    return Encoded(ids, lengths, starts(ids, lengths), places)
