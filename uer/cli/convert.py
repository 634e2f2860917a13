"""`uer convert`: from any kind of checkpoint to any other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

from uer.cli.flags import POSITIONAL, Overrides
from uer.cli.tokenizer import DEFAULT, make_tokenizer, split_tokenizer
from uer.errors import UserError
from uer.files import probe_place
from uer.interop.convert import (
    Checkpoint,
    Kind,
    kind_of,
    read_checkpoint,
    with_tables,
    write_checkpoint,
)
from uer.interop.huggingface.peft_destination import write_peft
from uer.interop.huggingface.peft_source import is_peft, read_peft
from uer.interop.pretrained import grown_from
from uer.interop.resize import Way, resize_positions, resize_vocabulary
from uer.registry import load_plugins
from uer.zoo.resolve import resolve

_log = logging.getLogger(__name__)


def convert(
    *,
    source: Annotated[str, "checkpoint to read: its kind is detected", POSITIONAL],
    destination: Annotated[str, "folder to write (legacy: file)", POSITIONAL],
    to: Annotated[
        Literal["uer", "huggingface", "legacy", "peft"] | None,
        "kind to write (default: huggingface from a folder of ours, else uer); peft: the adapters "
        "of a run alone",
    ] = None,
    config_path: Annotated[
        str | None, "configuration of a file of the predecessors; flags win over it"
    ] = None,
    tokenizer: Annotated[
        str | None, "name of the tokenizer, with its flags (default: the source's)"
    ] = None,
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None,
    resize_positions_to: Annotated[int | None, "positions that the model shall know"] = None,
    resize_positions_by: Annotated[
        Way, "stretch the positions' table, or keep its rows and repeat them"
    ] = "extend",
    resize_vocab_to: Annotated[
        int | None, "tokens of the vocabulary; new ones begin as the mean of all"
    ] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    overrides: Overrides,
) -> None:
    """Convert a checkpoint: ours, Hugging Face's, Meta's LLaMA, the predecessors'.

    Architecture and sizes are read from the files. Nothing is written unless every tensor of the
    model's body has its place.
    """
    load_plugins(plugin)
    described, rest = split_tokenizer(overrides)
    given = None
    if described or tokenizer is not None:
        given = make_tokenizer(tokenizer or DEFAULT, special_tokens_path, described)
    probe_place(Path(destination))
    source = resolve(source)
    if Path(source).resolve() == Path(destination).resolve():
        raise UserError(f"{source} is the source, too; choose another path to write.")
    if rest and (is_peft(source) or kind_of(source) != "legacy"):
        raise UserError(
            f"uer convert has no flag --{next(iter(rest))} for {source}, which carries its own "
            "configuration; --help lists the flags."
        )
    if to == "peft" or is_peft(source):
        others = (given, config_path, resize_positions_to, resize_vocab_to)
        _adapters(source, destination, to, more=any(one is not None for one in others))
        return
    made = read_checkpoint(source, config_path=config_path, overrides=rest, tokenizer=given)
    _log.info("%s (%s): %s", source, made.kind, made.report.line())
    for note in made.notes:
        _log.info(note)
    if resize_positions_to is not None:
        made = with_tables(
            made,
            resize_positions(made.config, made.weights, resize_positions_to, resize_positions_by),
        )
    if resize_vocab_to is None:
        resize_vocab_to = _tokens_needed(made, source)
    if resize_vocab_to is not None:
        resized = resize_vocabulary(made.config, made.weights, made.facts, resize_vocab_to)
        made = with_tables(made, resized)
    kind: Kind = to or ("huggingface" if made.kind == "uer" else "uer")
    for note in write_checkpoint(made, destination, kind):
        _log.info(note)
    _log.info("%s: written (%s), %d tensors.", destination, kind, len(made.weights))


def _adapters(source: str, destination: str, to: str | None, *, more: bool) -> None:
    """Adapters in the folder format of peft, or from it.

    Raises:
        UserError: something else is asked for, too.
    """
    read = is_peft(source)
    if more or (read and to not in (None, "uer")):
        raise UserError(
            f"{source if read else '--to peft'}: adapters are converted as they are; merge them "
            "with `uer merge-lora` first, and convert the result."
        )
    for note in (read_peft if read else write_peft)(source, destination):
        _log.info(note)
    _log.info("%s: written (%s).", destination, "uer" if read else "peft")


def _tokens_needed(made: Checkpoint, source: str) -> int | None:
    """How many tokens the tables need for the tokenizer; None: they have enough.

    Raises:
        UserError: the tokenizer's first tokens are not those of the tables, as far as is known.
    """
    rows, tokenizer = made.facts.get("vocab_size"), made.tokenizer
    if tokenizer is None or rows is None or tokenizer.vocab_size <= rows:
        return None
    if made.kind == "legacy" or grown_from(source, tokenizer) is None:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, {source} has vectors for {rows}, "
            "and it is not known that the first ones are the same; say so with --resize_vocab_to "
            f"{tokenizer.vocab_size}, or give a vocabulary that goes with it."
        )
    _log.info("%s: %d new tokens begin as the mean of all", source, tokenizer.vocab_size - rows)
    return tokenizer.vocab_size
