"""A sentencepiece model in the terms of the Rust library of tokenizers.

The model's file is a protocol buffer; the numbers of its fields stand in sentencepiece_model.proto.
"""

from __future__ import annotations

from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers import Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import BPE, Unigram

from uer.tokenizers._pieces import message_fields
from uer.tokenizers.base import SPACE_MARK, Tokenizer

_TRAINER, _NORMALIZER = 2, 3  # of the model
_MODEL_TYPE, _BYTE_FALLBACK = 3, 35  # of the trainer's part
_MERGES = 2  # a model type
_CHARACTER_MAP, _BLANK_IN_FRONT, _JOINED_BLANKS = 2, 3, 4  # of the normaliser's part


def rust_pieces(tokenizer: Tokenizer) -> RustTokenizer:
    """The Rust library's tokenizer that gives the ids of ours.

    Args:
        tokenizer: one around a sentencepiece model.
    """
    content = tokenizer.files["spm_model_path"].content
    model = SentencePieceProcessor(model_proto=content)
    numbers = range(model.get_piece_size())
    scores = {model.id_to_piece(n): model.get_score(n) for n in numbers}
    parts = {number: value for number, _, _, value in message_fields(content)}
    trainer, normalizer = _fields(parts.get(_TRAINER)), _fields(parts.get(_NORMALIZER))
    known = [
        token for token in tokenizer.vocabulary if token in scores or _before(tokenizer, token)
    ]
    unknown = model.id_to_piece(model.unk_id())
    fallback = bool(trainer.get(_BYTE_FALLBACK, 0))
    blank = bool(normalizer.get(_BLANK_IN_FRONT, 1))
    if trainer.get(_MODEL_TYPE, 1) == _MERGES:
        ids = {token: number for number, token in enumerate(known)}
        rust = RustTokenizer(
            BPE(
                ids,
                _merges(known, scores),
                unk_token=unknown,
                fuse_unk=True,
                byte_fallback=fallback,
            )
        )
        marks: list[Any] = [normalizers.Prepend(SPACE_MARK)] if blank else []
        marks.append(normalizers.Replace(" ", SPACE_MARK))
    else:
        table = [(token, scores.get(token, 0.0)) for token in known]
        rust = RustTokenizer(Unigram(table, known.index(unknown), fallback))
        scheme = "always" if blank else "never"
        rust.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme=scheme)
        marks = []
    rust.normalizer = normalizers.Sequence([*_cleaning(normalizer), *marks])
    rust.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE_MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if blank else []),
        ]
    )
    return rust


def _before(tokenizer: Tokenizer, token: str) -> bool:
    """Tokens that no model has are added to it, but for those that stand before its own."""
    return token in tokenizer.vocabulary[:4]


def _cleaning(normalizer: dict[int, Any]) -> list[Any]:
    made: list[Any] = []
    if normalizer.get(_CHARACTER_MAP):
        made.append(normalizers.Precompiled(normalizer[_CHARACTER_MAP]))
    if normalizer.get(_JOINED_BLANKS, 1):
        made += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    return made


def _merges(tokens: list[str], scores: dict[str, float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, the best piece first."""
    known = {token: number for number, token in enumerate(tokens)}
    found = [
        (-scores.get(token, 0.0), known[token[:cut]], known[token[cut:]])
        for token in tokens
        for cut in range(1, len(token))
        if token[:cut] in known and token[cut:] in known
    ]
    return [(tokens[left], tokens[right]) for _, left, right in sorted(found)]


def _fields(message: Any) -> dict[int, Any]:
    if not isinstance(message, bytes):
        return {}
    return {number: value for number, _, _, value in message_fields(message)}
