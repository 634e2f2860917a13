"""`uer vocab`: a vocabulary from a corpus."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from uer.cli.outputs import require_file_place
from uer.data.vocabulary import build_characters, build_wordpiece, write_vocabulary
from uer.errors import UserError

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
    vocab_size: Annotated[
        int | None, "tokens of a WordPiece vocabulary, special ones included"
    ] = None,
    min_count: Annotated[int, "leave out what is rarer"] = 1,
    do_lower_case: Annotated[bool, "lower the case and strip accents (WordPiece)"] = True,
    workers_num: Annotated[int, "processes that count; the result does not depend on it"] = 1,
) -> None:
    """Build a vocabulary from a corpus; special tokens stand first."""
    require_file_place(output_path, flag="output_path", inputs=corpus_path)
    chosen = delimiter or kind
    if chosen == "wordpiece":
        if vocab_size is None:
            raise UserError("--vocab_size: say how many tokens a WordPiece vocabulary shall have.")
        tokens = build_wordpiece(
            corpus_path, vocab_size, min_count=min_count, do_lower_case=do_lower_case
        )
    else:
        tokens = build_characters(
            corpus_path, delimiter=chosen, min_count=min_count, processes=workers_num
        )
    write_vocabulary(tokens, output_path)
    _log.info("%s: %s tokens.", output_path, f"{len(tokens):,}")
