"""What a data set says about the model that is trained on it: tokenizers and classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uer.cli.tokenizer import require_vocabulary, split_tokenizer, tokenizer_keys
from uer.data.store import Store
from uer.data.store_meta import tokenizer_folder
from uer.errors import DataError, UserError
from uer.interop.pretrained import grown_from, trained_with
from uer.tokenizers.base import Tokenizer

# The data set carries its tokenizer; what describes one was given to preprocess.py.
_OF_TOKENIZER = ("tokenizer", "special_tokens_path", "json_format_corpus")


def tokenizers_of(
    store: Store, overrides: Mapping[str, Any], dataset_path: str
) -> tuple[dict[str, Tokenizer], dict[str, Any]]:
    """The data set's tokenizers by side, and the flags that describe none of them."""
    of_source, left = split_tokenizer(overrides)
    of_target = {f"tgt_{key}": key for key in (*tokenizer_keys(), *_OF_TOKENIZER)}
    described = {
        "src": {**of_source, **{key: left[key] for key in _OF_TOKENIZER if key in left}},
        "tgt": {of_target[key]: value for key, value in left.items() if key in of_target},
    }
    left = {
        key: value
        for key, value in left.items()
        if key not in of_target and key not in _OF_TOKENIZER
    }
    found = {}
    for side in store.sides:
        found[side] = store.tokenizer(side)
        flags, _ = split_tokenizer(described[side])
        kind, prefix = described[side].get("tokenizer"), "" if side == "src" else f"{side}_"
        require_vocabulary(found[side], kind, flags, dataset_path, prefix)
    return found, left


def require_trained_with(
    tokenizers: Mapping[str, Tokenizer], checkpoint: str, *, may_grow: bool = False
) -> None:
    """Weights belong to tokens; a file of the predecessors says nothing about them."""
    if "tgt" not in tokenizers and (Path(checkpoint) / tokenizer_folder("tgt")).is_dir():
        raise UserError(
            f"{checkpoint} was trained with a tokenizer of its own for the target side, the data "
            "set has none; preprocess the corpus with the --tgt_… flags of its data, or start from "
            "its weights with --pretrained_model_path and --allow_partial."
        )
    for side, tokenizer in tokenizers.items():
        own = trained_with(checkpoint, tokenizer, side)
        if own is not None and not (may_grow and grown_from(checkpoint, tokenizer, side)):
            which = "target tokenizer" if side == "tgt" else "tokenizer"
            raise UserError(
                f"{checkpoint} was trained with the {which} '{own.kind}' of {own.vocab_size} "
                f"tokens, the data set was made with '{tokenizer.kind}' of {tokenizer.vocab_size} "
                "tokens, and the two differ; preprocess the corpus with the vocabulary of "
                f"{checkpoint}, or start from its weights with --pretrained_model_path and "
                "--allow_partial."
            )


def labels_of(store: Store, path: str, labels_num: int | None) -> dict[str, int]:
    """How many classes the rows of the data set have.

    Raises:
        DataError: a label is none of the classes, or one of them has no row.
    """
    if "label" not in store.columns:
        return {} if labels_num is None else {"labels_num": labels_num}
    if store.columns["label"].ndim == 2:
        return {"labels_num": store.columns["label"].shape[1]}
    found = np.unique(store.columns["label"])
    highest = int(found[-1])
    if labels_num is None and highest >= len(found):
        raise DataError(
            f"the labels go up to {highest}, but only {len(found)} different ones occur; number "
            "the classes 0, 1, 2, … without a gap, or say how many there are with --labels_num.",
            path,
        )
    if labels_num is not None and highest >= labels_num:
        raise DataError(
            f"the label {highest} is outside 0 … {labels_num - 1}, the model's {labels_num} "
            "classes; leave --labels_num out to count them in the data to train on.",
            path,
        )
    return {"labels_num": highest + 1 if labels_num is None else labels_num}


def require_alike(
    held_out: Store,
    path: str,
    store: Store,
    tokenizers: Mapping[str, Tokenizer],
    labels_num: int | None,
) -> None:
    """Refuse data for evaluation whose classes or tokens have other numbers than the model's."""
    _require_classes(store, held_out, path)
    for side, tokenizer in tokenizers.items():
        held_out.require_tokenizer(tokenizer, side)
    labels_of(held_out, path, labels_num)


def _require_classes(store: Store, held_out: Store, path: str) -> None:
    """Classes that have names are numbered alike.

    Raises:
        DataError: they are not.
    """
    ours, theirs = store.meta.classes, held_out.meta.classes
    if ours and theirs and ours != theirs:
        odd = sorted(set(ours) ^ set(theirs))
        raise DataError(
            f"its classes are not those of the training data ({', '.join(odd[:5])} differ), so "
            "their numbers mean something else; give both the same sub-folders.",
            path,
        )
