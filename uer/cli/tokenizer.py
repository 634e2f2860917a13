"""The tokenizer that flags describe, for the commands that may find one with a checkpoint.

A tokenizer's flags are the keys its constructor asks for, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uer.builder import Planner
from uer.errors import UserError
from uer.interop.legacy.config import translate
from uer.interop.pretrained import checkpoint_tokenizer, grown_from, trained_with
from uer.signature import parameters
from uer.tokenizers.base import Tokenizer, read_special_tokens, tokenizers

DEFAULT = "bert"


def tokenizer_keys(*names: str) -> set[str]:
    """The keys that tokenizers ask for.

    Args:
        names: of the tokenizers; none: all of them.
    """
    return {key for name in names or tokenizers.names() for key in parameters(tokenizers.get(name))}


def split_tokenizer(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flags that describe a tokenizer, and the others."""
    keys = tokenizer_keys()
    described = {key: value for key, value in overrides.items() if key in keys}
    return described, {key: value for key, value in overrides.items() if key not in keys}


def choose_tokenizer(
    name: str | None,
    special_tokens_path: str | None,
    described: Mapping[str, Any],
    checkpoint: str | None,
    *,
    may_grow: bool = False,
) -> Tokenizer:
    """The checkpoint's tokenizer, or the one that the flags describe.

    Args:
        name: of the kind; by default the checkpoint's, else `DEFAULT`.
        special_tokens_path: JSON file of special tokens by role.
        described: the other flags of the tokenizer.
        checkpoint: what may bring its tokenizer along.
        may_grow: the flags' may have further tokens behind those of the checkpoint's.

    Raises:
        UserError: neither is there, or they differ.
        ConfigError: the flags are not those of the tokenizer.
    """
    own = None if checkpoint is None else checkpoint_tokenizer(checkpoint)
    if not described and special_tokens_path is None and name in (None, own and own.kind):
        if own is None:
            raise UserError("--vocab_path is needed: no checkpoint brings its tokenizer along.")
        return own
    made = make_tokenizer(name or (own.kind if own else DEFAULT), special_tokens_path, described)
    if own is not None and checkpoint is not None and trained_with(checkpoint, made):
        if may_grow and grown_from(checkpoint, made):
            return made
        flags = ", ".join(f"--{key}" for key in ("tokenizer", *described))
        raise UserError(
            f"{checkpoint} was trained with the tokenizer '{own.kind}' of {own.vocab_size} tokens, "
            f"the flags describe '{made.kind}' of {made.vocab_size} tokens, and the two differ; "
            f"leave {flags} out to use the checkpoint's."
        )
    return made


def require_vocabulary(
    tokenizer: Tokenizer,
    name: str | None,
    described: Mapping[str, Any],
    dataset_path: str,
    prefix: str = "",
) -> None:
    """A data set carries its tokenizer; files given besides must hold the same vocabulary.

    Args:
        tokenizer: the data set's.
        name: the kind that the flags are for, by default the data set's.
        described: the flags of a tokenizer.
        dataset_path: the data set, for the message.
        prefix: of the flags, for the message.

    Raises:
        UserError: the vocabularies differ.
    """
    config, _ = translate({"tokenizer": name or tokenizer.kind, **described})
    schema = parameters(tokenizers.get(config["tokenizer"]))
    needed = [key for key, parameter in schema.items() if parameter.required]
    if not needed or not config.keys() >= set(needed):
        return
    config = {**tokenizer.options, "special_tokens": tokenizer.roles(), **config}
    keys = {key: config[key] for key in schema if key in config}
    if make_tokenizer(config["tokenizer"], None, keys).vocabulary != tokenizer.vocabulary:
        given = " and ".join(str(config[key]) for key in needed)
        flags = ", ".join(f"--{prefix}{key}" for key in needed)
        raise UserError(
            f"{dataset_path} was made with another vocabulary than {given}; leave {flags} out to "
            "use the data set's own, or preprocess the corpus again."
        )


def make_tokenizer(
    name: str,
    special_tokens_path: str | None,
    described: Mapping[str, Any],
    source: str = "command line",
) -> Tokenizer:
    """The tokenizer that flags describe.

    Args:
        name: of the kind.
        special_tokens_path: JSON file of special tokens by role.
        described: the other flags.
        source: where they came from, for messages.

    Raises:
        UserError: it cannot be made of them.
    """
    config: dict[str, Any] = {"tokenizer": name, **described}
    if special_tokens_path is not None:
        config["special_tokens"] = read_special_tokens(special_tokens_path)
    config, _ = translate(config)
    planner = Planner(config, source)
    plan = planner.choice("tokenizer", Tokenizer)
    planner.finish()
    assert plan is not None
    return plan.build()


def side_facts(
    tokenizer: Tokenizer, tgt_tokenizer: Tokenizer | None, *, decodes: bool = True
) -> dict[str, Any]:
    """What models and processors ask for about the tokenizers of both sides.

    The target side's facts carry the prefix ``tgt_`` for processors, and the slots' names for the
    parts of a model with a decoder, whose targets predict the target side. Without a tokenizer of
    its own, the target side is the source's.

    Args:
        tokenizer: the source side's.
        tgt_tokenizer: the target side's, if it has its own.
        decodes: the model has a decoder.
    """
    facts = tokenizer.facts()
    of_target = (tgt_tokenizer or tokenizer).facts()
    if tgt_tokenizer is not None and decodes:
        slots = ("tgt_embedding", "decoder", "target")
        facts |= {f"{slot}.{key}": value for slot in slots for key, value in of_target.items()}
    return facts | {f"tgt_{key}": value for key, value in of_target.items()}
