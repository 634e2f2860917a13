"""CLIP's tokenizer as ``tokenizer.json``, out of ``vocab.json`` and ``merges.txt``.

Lower-cased byte-level BPE whose tokens carry ``</w>`` at the end of a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Lowercase, Replace, Sequence
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from uer.errors import DataError
from uer.tokenizers._files import read_bytes

END_OF_WORD = "</w>"
_VOCABULARY, _MERGES = "vocab.json", "merges.txt"
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def is_clip(folder: Path, settings: dict[str, Any]) -> bool:
    """The folder holds CLIP's tokenizer without ``tokenizer.json``."""
    name = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    return name == "CLIPTokenizer" and all((folder / n).is_file() for n in (_VOCABULARY, _MERGES))


def clip_json(folder: Path) -> bytes:
    """The content of ``tokenizer.json``.

    Raises:
        DataError: one of the files is damaged.
    """
    try:
        ids = json.loads(read_bytes(folder / _VOCABULARY))
        lines = read_bytes(folder / _MERGES).decode("utf-8").split("\n")
        split = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        pairs = [(left, right) for left, right in split]
        model = BPE(ids, pairs, end_of_word_suffix=END_OF_WORD, unk_token=_SPECIAL[1])
    except DataError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"vocab.json and merges.txt are no BPE of CLIP ({error}).", folder) from (
            error
        )
    rust = RustTokenizer(model)
    rust.normalizer = Sequence([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()])
    words = Split(Regex(_WORDS), "removed", invert=True)
    rust.pre_tokenizer = PreTokenizers([words, ByteLevel(add_prefix_space=False)])
    rust.decoder = ByteLevelDecoder()
    rust.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL if token in ids])
    return rust.to_str().encode("utf-8")
