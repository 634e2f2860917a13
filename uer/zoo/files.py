"""Which files of a repository a model needs, judged by their names."""

from __future__ import annotations

import re
from collections.abc import Collection

_TEXTS = re.compile(
    r"""config\.json | generation_config\.json | (pre)?processor_config\.json | modules\.json
    | (config_)?sentence_\w+\.json | tokenizer\.json | tokenizer_config\.json
    | special_tokens_map\.json | added_tokens\.json | vocab\.(txt|json) | merges\.txt
    | [\w.-]+\.model | prophetnet\.tokenizer | chat_template\.(json|jinja)
    | \d+_\w+/(config\.json|model\.safetensors|pytorch_model\.bin)""",
    re.VERBOSE,
)
_WEIGHTS = (  # whole, and in parts; the first kind that a repository has is taken
    ("model.safetensors", re.compile(r"model-\d{5}-of-(\d{5})\.safetensors")),
    ("pytorch_model.bin", re.compile(r"pytorch_model-\d{5}-of-(\d{5})\.bin")),
)


def needed(names: Collection[str]) -> list[str]:
    """The files to fetch, in this order: a folder that holds the last ones holds all.

    Pickled weights are needed only where there are no safetensors. Files of other frameworks and
    formats never are.
    """
    weights = _weights(names)
    if not weights:
        return []
    return [*sorted(name for name in names if _TEXTS.fullmatch(name)), *weights]


def is_whole(names: Collection[str]) -> bool:
    """Whether a folder holds a configuration and all parts of the weights."""
    return "config.json" in names and bool(_weights(names))


def _weights(names: Collection[str]) -> list[str]:
    """The files of the weights, after the index that says what is in which; none if one is gone."""
    for whole, part in _WEIGHTS:
        if whole in names:
            return [whole]
        parts = [match for match in map(part.fullmatch, sorted(names)) if match]
        if parts and len(parts) == int(parts[0][1]):
            index = [name for name in (f"{whole}.index.json",) if name in names]
            return [*index, *(match[0] for match in parts)]
    return []
