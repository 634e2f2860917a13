"""Building vocabularies from corpora.

A vocabulary is a list of tokens, the special ones first and the padding token with id 0. Equal
corpora give equal lists: what ties in frequency is ordered by spelling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from uer.data.corpus import BLOCK_BYTES, Block, cut_blocks, read_lines
from uer.data.workers import in_order
from uer.errors import DataError, UserError
from uer.files import atomic_file
from uer.tokenizers._special_tokens import BERT_TOKENS
from uer.tokenizers.bert import CONTINUES, set_bert_splitting

Delimiter = Literal["char", "space"]

# Fields of a vocabulary line end at these, so none of them can be a token.
_NO_TOKEN = " \t\r"


def build_characters(
    corpus_paths: Sequence[str | Path],
    *,
    delimiter: Delimiter = "char",
    min_count: int = 1,
    reserved: Sequence[str] = tuple(BERT_TOKENS.values()),
    processes: int = 1,
    block_bytes: int = BLOCK_BYTES,
) -> list[str]:
    """Tokens of a corpus by falling frequency, for the tokenizers `char` and `space`.

    Args:
        corpus_paths: UTF-8 text files; every line counts.
        delimiter: ``char``: characters are tokens; ``space``: what stands between white space.
        min_count: rarer tokens are left out.
        reserved: tokens that come first, the special ones among them.
        processes: how many count; the result does not depend on it.
        block_bytes: size of a piece of work; the result does not depend on it.

    Raises:
        DataError: the corpus is missing, not UTF-8, or holds no token.
        UserError: ``reserved`` names a token twice or nothing for padding.
    """
    _require_reserved(reserved)
    counts: Counter[str] = Counter()
    blocks = cut_blocks(corpus_paths, block_bytes)
    for part in in_order(partial(_counter, delimiter), blocks, processes):
        counts.update(part)
    if not counts:
        raise _empty(corpus_paths)
    listed = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    first = dict.fromkeys(reserved)
    found = [token for token, count in listed if count >= min_count and token not in first]
    return [*reserved, *found]


def build_wordpiece(
    corpus_paths: Sequence[str | Path],
    size: int,
    *,
    min_count: int = 2,
    do_lower_case: bool = True,
    reserved: Sequence[str] = tuple(BERT_TOKENS.values()),
) -> list[str]:
    """A WordPiece vocabulary for the tokenizer `bert`; Chinese characters are single tokens.

    Args:
        corpus_paths: UTF-8 text files; every line counts.
        size: tokens of the vocabulary at most, the reserved ones included.
        min_count: rarer characters and pairs are left out.
        do_lower_case: as the tokenizer will be used.
        reserved: tokens that come first, the special ones among them.

    Raises:
        DataError: the corpus is missing, not UTF-8, or holds no token.
        UserError: ``size`` is too small for the characters alone; or as for `build_characters`.
    """
    _require_reserved(reserved)
    if size < len(reserved):
        raise UserError(f"size: {size} is too small, {len(reserved)} special tokens come first.")
    blocks = cut_blocks(corpus_paths)
    rust = RustTokenizer(WordPiece({}, unk_token=BERT_TOKENS["unk"]))
    set_bert_splitting(rust, do_lower_case)
    words = Counter(word for line in _lines(blocks) for word in _split(rust, line))
    if not words:
        raise _empty(corpus_paths)
    counts = Counter[str]()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    kept = {character for character, count in counts.items() if count >= min_count}
    inner = {character for word in words for character in word[1:]} & {*kept, *reserved}
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_count,
        # The trainer numbers characters inside words, and breaks ties at the border of its
        # alphabet, by chance; both are settled here.
        special_tokens=list(
            dict.fromkeys([*reserved, *(CONTINUES + character for character in sorted(inner))])
        ),
        limit_alphabet=len(kept),
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    rust.train_from_iterator(_lines(blocks), trainer)
    found = rust.get_vocab(with_added_tokens=True)
    if len(found) > size:
        raise UserError(
            f"size: {size} is too small, the characters of the corpus alone need {len(found)} "
            "tokens; raise the size or the minimum count."
        )
    return sorted(found, key=found.__getitem__)


def write_vocabulary(tokens: Sequence[str], path: str | Path) -> None:
    """Write one token per line; the file is whole or not there.

    Raises:
        UserError: the place cannot be written.
    """
    with atomic_file(path) as scratch:
        scratch.write_bytes("".join(f"{token}\n" for token in tokens).encode("utf-8"))


def _lines(blocks: list[Block]) -> Iterator[str]:
    for block in blocks:
        yield from read_lines(block)


def _split(rust: RustTokenizer, line: str) -> list[str]:
    """Words of a line, as the tokenizer will see them."""
    normal = rust.normalizer.normalize_str(line)
    return [word for word, _ in rust.pre_tokenizer.pre_tokenize_str(normal)]


def _counter(delimiter: Delimiter) -> partial[Counter[str]]:
    return partial(_count, delimiter)


def _count(delimiter: Delimiter, block: Block) -> Counter[str]:
    """How often each token stands in a block."""
    lines = read_lines(block)
    if delimiter == "space":
        return Counter(word for line in lines for word in line.split())
    counts = Counter("".join(line.strip() for line in lines))
    for character in _NO_TOKEN:
        counts.pop(character, None)
    return counts


def _require_reserved(reserved: Sequence[str]) -> None:
    twice = [token for token, count in Counter(reserved).items() if count > 1]
    if twice:
        raise UserError(f"reserved: {', '.join(twice)} stands there twice; name a token once.")
    if not reserved:
        raise UserError("reserved: the first token is the padding, so there must be one.")


def _empty(paths: Sequence[str | Path]) -> DataError:
    return DataError(f"the corpus holds no text: {', '.join(map(str, paths)) or 'no files'}.")
