"""`uer vocab`: a vocabulary from a corpus."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from uer.cli.outputs import require_file_place
from uer.data.vocabulary import build_characters, build_wordpiece, write_vocabulary
from uer.errors import UserError
from uer.tokenizers._special_tokens import BERT_TOKENS
from uer.tokenizers.base import read_vocabulary

_log = logging.getLogger(__name__)


def vocab(
    *,
    corpus_path: Annotated[list[str], "text files of the corpus"],
    output_path: Annotated[str, "vocabulary file to write"],
    kind: Annotated[
        Literal["wordpiece", "char", "space"], "subwords, characters, or words between blanks"
    ] = "wordpiece",
    delimiter: Annotated[
        Literal["char", "space"] | None, "the predecessors' name for --kind char and space"
    ] = None,
    extend: Annotated[
        str | None, "vocabulary whose tokens come first, with their ids; new ones stand behind them"
    ] = None,
    vocab_size: Annotated[
        int | None, "tokens of a WordPiece vocabulary, special ones included"
    ] = None,
    min_count: Annotated[int, "leave out what is rarer"] = 1,
    do_lower_case: Annotated[bool, "lower the case and strip accents (WordPiece)"] = True,
    workers_num: Annotated[int, "processes that count; the result does not depend on it"] = 1,
) -> None:
    """Build a vocabulary from a corpus, or add the corpus's tokens to one.

    Special tokens stand first. A checkpoint that is loaded with an extended vocabulary gets rows
    for the new tokens.
    """
    files = [*corpus_path, extend] if extend else corpus_path
    require_file_place(output_path, flag="output_path", inputs=files)
    first = read_vocabulary(extend) if extend else list(BERT_TOKENS.values())
    chosen = delimiter or kind
    if chosen == "wordpiece":
        if vocab_size is None:
            raise UserError("--vocab_size: say how many tokens a WordPiece vocabulary shall have.")
        tokens = build_wordpiece(
            corpus_path,
            vocab_size,
            min_count=min_count,
            do_lower_case=do_lower_case,
            reserved=first,
        )
    else:
        tokens = build_characters(
            corpus_path,
            delimiter=chosen,
            min_count=min_count,
            reserved=first,
            processes=workers_num,
        )
    write_vocabulary(tokens, output_path)
    new = f", {len(tokens) - len(first):,} of them new" if extend else ""
    _log.info("%s: %s tokens%s.", output_path, f"{len(tokens):,}", new)
