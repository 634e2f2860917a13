"""Special tokens by role: which a vocabulary has, and under which names.

Every kind of tokenizer has names of its own family; a user's map is laid over them. A role may be
missing (GPT-2 has no mask), and several roles may name one token (GPT-2's ``<|endoftext|>``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from uer.errors import UserError, did_you_mean

_log = logging.getLogger(__name__)

BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
FIRST_SENTINEL = "<extra_id_0>"
ROLES = (*BERT_TOKENS, "bos", "eos", "sentinel")
# The predecessors' maps name these whatever the vocabulary.
_NAMED_ANYWAY = ("mask", "sentinel")


def choose_roles(
    defaults: Mapping[str, str],
    given: Mapping[str, str | None],
    known: Collection[str],
    *,
    required: Collection[str],
    source: str | Path,
) -> dict[str, str]:
    """The special tokens that a vocabulary has, by role.

    Args:
        defaults: the family's names.
        given: the user's, laid over them; None drops a role.
        known: the vocabulary.
        required: roles that must be there unless they are dropped by name.
        source: the vocabulary's file, for messages.

    Raises:
        UserError: there is no such role, or the vocabulary lacks a token.
    """
    for role in given:
        if role not in ROLES:
            raise UserError(
                f"special_tokens: there is no role '{role}'{did_you_mean(role, ROLES)} "
                f"Known: {', '.join(ROLES)}."
            )
    names = {"sentinel": FIRST_SENTINEL, **defaults, **given}
    lacking = {role: name for role, name in names.items() if name and name not in known}
    demanded = {*required, *(role for role in given if role not in _NAMED_ANYWAY)}
    missing = dict.fromkeys(name for role, name in lacking.items() if role in demanded)
    if missing:
        raise UserError(
            f"{source}: the vocabulary lacks the special tokens {', '.join(missing)}; "
            "name its own ones with --special_tokens_path, or take another vocabulary."
        )
    for role in lacking.keys() & given.keys():
        _log.info("%s: the vocabulary has no %s, so there is no '%s'.", source, lacking[role], role)
    return {role: names[role] for role in ROLES if names.get(role) and role not in lacking}


def number_sentinels(first: str, known: Mapping[str, int]) -> list[int]:
    """Ids of the sentinels from the first one on, in the order of the numbers in their names.

    Args:
        first: the name of the first, e.g. ``<extra_id_0>``.
        known: id by token.
    """
    number = re.search(r"\d+", first)
    if number is None:
        return [known[first]]
    head, tail = first[: number.start()], first[number.end() :]
    ids, count = [], int(number[0])
    while (name := f"{head}{count}{tail}") in known:
        ids.append(known[name])
        count += 1
    return ids
