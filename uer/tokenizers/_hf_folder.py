"""What the folder of a Hugging Face model says about its tokenizer besides ``tokenizer.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uer.errors import DataError
from uer.tokenizers._files import read_json, read_special_tokens
from uer.tokenizers._pieces import SpmModel
from uer.tokenizers._special_tokens import FIRST_SENTINEL, ROLES
from uer.tokenizers.base import Tokenizer, tokenizers

_CONFIG, _MAP = "tokenizer_config.json", "special_tokens_map.json"
_SPEECH = "Speech2TextTokenizer"
# Instead of a role that the folder does not name.
_INSTEAD = {"pad": "eos", "cls": "bos", "sep": "eos"}


def roles(folder: Path) -> dict[str, str]:
    """Special tokens by role, as the configuration and the map in a folder name them.

    Where no padding is named the end serves as such, for nobody looks at what stands there; the
    beginning and the end also stand before and behind a text.

    Raises:
        DataError: one of the files is damaged.
    """
    named: dict[str, str | None] = {}
    if (folder / _MAP).is_file():
        named |= read_special_tokens(folder / _MAP)
    for key, token in settings(folder).items():
        name = token.get("content") if isinstance(token, dict) else token
        if key.endswith("_token") and isinstance(name, str):
            named[key.removesuffix("_token")] = name
    for role, instead in _INSTEAD.items():
        named[role] = named.get(role) or named.get(instead)
    return {role: name for role, name in named.items() if name and role in ROLES}


def read(folder: Path, special_tokens: dict[str, str | None] | None) -> Tokenizer:
    """The tokenizer of a folder without ``tokenizer.json``.

    Args:
        folder: holds ``vocab.txt``, or ``vocab.json`` and ``merges.txt``, or one ``*.model``, or
            the ``vocab.json`` of wav2vec 2.0, or that of Speech2Text with one ``*.model``.
        special_tokens: laid over those of the folder.

    Raises:
        DataError: the folder holds nothing of the kind.
    """
    stated = settings(folder)
    keys: dict[str, Any] = {"special_tokens": {**roles(folder), **(special_tokens or {})}}
    models = sorted(folder.glob("*.model"))
    name = str(stated.get("tokenizer_class") or "").removesuffix("Fast")
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        kind = "bpe"
        keys["vocab_path"], keys["merges_path"] = folder / "vocab.json", folder / "merges.txt"
        keys |= _chosen(stated, "add_prefix_space")
    elif (folder / "vocab.json").is_file() and name == "Wav2Vec2CTCTokenizer":
        kind = "char"
        keys["vocab_path"] = folder / "vocab.json"
        keys["special_tokens"] = {"mask": None, **keys["special_tokens"]}
        keys["word_delimiter"] = stated.get("word_delimiter_token", "|")
    elif (folder / "vocab.json").is_file() and name == _SPEECH and len(models) == 1:
        kind = "speech2text"
        keys["vocab_path"], keys["spm_model_path"] = folder / "vocab.json", models[0]
        keys["special_tokens"] = {**_of_decoder(roles(folder)), **(special_tokens or {})}
        keys |= _chosen(stated, "do_lower_case") | _chosen(stated, "do_upper_case")
    elif (folder / "vocab.txt").is_file():
        kind = "bert"
        keys["vocab_path"] = folder / "vocab.txt"
        keys |= _chosen(stated, "do_lower_case")
    elif len(models) == 1:
        kind = "xlmroberta" if name == "XLMRobertaTokenizer" else "sentencepiece"
        keys["spm_model_path"] = models[0]
        if kind == "sentencepiece" and FIRST_SENTINEL not in SpmModel(str(models[0])).pieces:
            keys["extra_ids"] = stated.get("extra_ids", 100 if name == "T5Tokenizer" else 0)
    elif name == "ByT5Tokenizer":
        kind = "byte"
        keys |= _chosen(stated, "extra_ids")
    else:
        raise DataError(
            "expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt, or one .model "
            "file in this folder.",
            folder,
        )
    paths = {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}
    part: Any = tokenizers.get(kind)
    return part(**paths)


def _of_decoder(named: dict[str, str]) -> dict[str, str | None]:
    """Special tokens of a model that only writes, and begins with the end of a text."""
    found: dict[str, str | None] = {
        role: named[role] for role in ("pad", "unk", "bos", "eos") if role in named
    }
    return {**found, "cls": named["eos"]} if "eos" in named else found


def settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json says.

    Raises:
        DataError: it is damaged.
    """
    stored: Any = read_json(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
    if not isinstance(stored, dict):
        raise DataError("expected a map of settings.", folder / _CONFIG)
    return stored


def _chosen(stated: dict[str, Any], key: str) -> dict[str, Any]:
    return {key: stated[key]} if key in stated else {}
