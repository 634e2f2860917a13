"""A tokenizer of ours as files that transformers' AutoTokenizer opens.

All but those of bytes and of Speech2Text become a ``tokenizer.json`` of the Rust library.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.decoders import Fuse
from tokenizers.decoders import Replace as ReplaceBack
from tokenizers.decoders import Sequence as Decoders
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import BPE, WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer, Replace, Strip
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Split, WhitespaceSplit
from tokenizers.processors import BertProcessing

from uer.interop.huggingface.pieces import rust_pieces
from uer.tokenizers.base import Tokenizer

_JSON, _CONFIG, _MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
_SPEECH = {"vocab_path": "vocab.json", "spm_model_path": "sentencepiece.bpe.model"}
_ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


def write_tokenizer(tokenizer: Tokenizer, folder: Path, longest: int | None = None) -> list[str]:
    """Write the files of a tokenizer.

    Args:
        tokenizer: ours.
        folder: where.
        longest: tokens that the model reads at most, to which it truncates when asked to.

    Returns:
        A sentence if there is no such tokenizer in transformers, and nothing was written.
    """
    named = {f"{role}_token": tokenizer.special_tokens.get(role) for role in _ROLES}
    config: dict[str, Any] = {key: token for key, token in named.items() if token is not None}
    special = dict(config)
    if longest is not None:
        config["model_max_length"] = longest
    if tokenizer.kind == "hfpretrained":
        (folder / _JSON).write_bytes(tokenizer.files["vocab_path"].content)
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    elif tokenizer.kind in _RUST:
        rust = _RUST[tokenizer.kind](tokenizer)
        _add_special(rust, tokenizer)
        rust.save(str(folder / _JSON))
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    elif tokenizer.kind == "byte":
        config |= {"tokenizer_class": "ByT5Tokenizer", **tokenizer.options}
    elif tokenizer.kind == "speech2text":
        for key, name in _SPEECH.items():
            (folder / name).write_bytes(tokenizer.files[key].content)
        config |= {"tokenizer_class": "Speech2TextTokenizer", **tokenizer.options}
    else:
        return [
            f"the tokenizer '{tokenizer.kind}' has no counterpart in transformers, so none was "
            "written."
        ]
    _write(folder / _CONFIG, config)
    _write(folder / _MAP, special)
    return []


def _bert(tokenizer: Tokenizer) -> RustTokenizer:
    rust = RustTokenizer(WordPiece(_ids(tokenizer), unk_token=tokenizer.special_tokens["unk"]))
    lower = bool(tokenizer.options["do_lower_case"])
    rust.normalizer = BertNormalizer(lowercase=lower)
    rust.pre_tokenizer = BertPreTokenizer()
    rust.decoder = WordPieceDecoder()
    return rust


def _char(tokenizer: Tokenizer) -> RustTokenizer:
    rust = RustTokenizer(WordLevel(_ids(tokenizer), unk_token=tokenizer.special_tokens["unk"]))
    rust.normalizer = Strip()
    rust.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    rust.decoder = Fuse()
    blank = tokenizer.options.get("word_delimiter")
    if blank is not None:
        rust.normalizer = Normalizers([Strip(), Replace(" ", blank)])
        rust.decoder = Decoders([Fuse(), ReplaceBack(blank, " ")])
    return rust


def _space(tokenizer: Tokenizer) -> RustTokenizer:
    rust = RustTokenizer(WordLevel(_ids(tokenizer), unk_token=tokenizer.special_tokens["unk"]))
    rust.pre_tokenizer = WhitespaceSplit()
    return rust


def _bpe(tokenizer: Tokenizer) -> RustTokenizer:
    lines = tokenizer.files["merges_path"].content.decode("utf-8").split("\n")
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    rust = RustTokenizer(BPE(_ids(tokenizer), [(left, right) for left, right in pairs]))
    prefix = bool(tokenizer.options["add_prefix_space"])
    rust.pre_tokenizer = ByteLevel(add_prefix_space=prefix)
    rust.decoder = ByteLevelDecoder()
    return rust


_RUST: dict[str, Callable[[Tokenizer], RustTokenizer]] = {
    "bert": _bert,
    "bpe": _bpe,
    "char": _char,
    "sentencepiece": rust_pieces,
    "space": _space,
    "xlmroberta": rust_pieces,
}


def _add_special(rust: RustTokenizer, tokenizer: Tokenizer) -> None:
    """Tell which tokens are special, and what stands around a text where ours says so."""
    tokens = dict.fromkeys(tokenizer.vocabulary[number] for number in tokenizer.special_ids)
    rust.add_special_tokens([AddedToken(token, special=True) for token in tokens])
    special = tokenizer.special_tokens
    if tokenizer.kind != "bpe" and {"cls", "sep"} <= special.keys():
        pairs = [(special[role], tokenizer.special[role]) for role in ("sep", "cls")]
        rust.post_processor = BertProcessing(*pairs)


def _ids(tokenizer: Tokenizer) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokenizer.vocabulary)}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
