"""Tokenizers around a sentencepiece model.

The library does the tokenising; one table turns its ids into those of the vocabulary. Pieces that
play a role are hidden from the library (it would find ``[MASK]`` in text where the model calls it a
user-defined symbol), so that they are text like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from uer.errors import DataError
from uer.tokenizers._files import File, read_bytes
from uer.tokenizers._word_starts import by_space_mark
from uer.tokenizers.base import Encoded, Tokenizer, code_points

# The file is a protocol buffer: its field 1 are the pieces, in each of which field 1 is the
# spelling and field 3 the type. https://protobuf.dev/programming-guides/encoding
_PIECES, _SPELLING, _TYPE = 1, 1, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4


class SpmModel:
    """A sentencepiece model.

    Args:
        path: its file.

    Attributes:
        content: the file's bytes.
        pieces: spelling of each id.

    Raises:
        DataError: the file cannot be read, or holds no model.
    """

    def __init__(self, path: str) -> None:
        self.path, self.content = path, read_bytes(path)
        try:
            self.processor = _processor(self.content)
        except (RuntimeError, ValueError) as error:
            raise DataError("this is no sentencepiece model.", path) from error
        size = self.processor.get_piece_size()
        self.pieces: list[str] = self.processor.id_to_piece(list(range(size)))

    def named(self) -> dict[str, str]:
        """The special tokens that the model itself names, by role.

        What it calls beginning and end also stands before and behind a text; the end serves as
        padding where the model has none, for nobody looks at what stands there. A mask is known by
        its spelling, for no model names it.
        """
        ids = {role: getattr(self.processor, f"{role}_id")() for role in ("unk", "bos", "eos")}
        ids |= {"cls": ids["bos"], "sep": ids["eos"]}
        pad = self.processor.pad_id()
        ids["pad"] = pad if pad >= 0 else ids["eos"]
        named = {role: self.pieces[number] for role, number in ids.items() if number >= 0}
        masks = [name for name in ("[MASK]", "<mask>") if name in self.pieces]
        return {**named, "mask": masks[0]} if masks else named


class PieceTokenizer(Tokenizer):
    """What the tokenizers around a sentencepiece model share.

    Args:
        model: the model.
        table: [pieces of the model] the id of each in the vocabulary.
        vocabulary: token of each id.
        special_tokens: see `Tokenizer`.
        options: see `Tokenizer`.
        defaults: see `Tokenizer`.
        further: files beside the model, see `Tokenizer`.
    """

    def __init__(
        self,
        *,
        model: SpmModel,
        table: Iterable[int],
        vocabulary: Sequence[str],
        special_tokens: Mapping[str, str | None] | None,
        options: Mapping[str, Any],
        defaults: Mapping[str, str],
        further: Mapping[str, File] | None = None,
    ) -> None:
        super().__init__(
            vocabulary=vocabulary,
            source=model.path,
            files={
                "spm_model_path": File("sentencepiece.model", model.content),
                **(further or {}),
            },
            special_tokens=special_tokens,
            options=options,
            defaults=defaults,
            required=("unk",),
        )
        special = {self.vocabulary[number] for number in self.special_ids}
        self._processor = _processor(_hidden(model.content, special))
        self._table = np.fromiter(table, np.uint32, len(model.pieces))
        # A byte may play a role as well, and cannot be hidden.
        if self.unknown is not None:
            self._table[np.isin(self._table, self.special_ids)] = self.unknown
        self._starts = by_space_mark(self.vocabulary)

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        code_points("".join(texts))  # refuses what is no Unicode text
        places = None
        if offsets:
            made = self._processor.encode(list(texts), return_type="offset_mapping")
            found = [np.array(one["ids"], np.int64) for one in made]
            begins = (begin for one in made for begin, _ in one["offsets"])
            places = np.fromiter(begins, np.int64)
        else:
            found = self._processor.encode(list(texts), return_type="numpy")
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        ids = self._table[np.concatenate([np.zeros(0, np.int64), *found])]
        return Encoded(ids, lengths, self._starts(ids, lengths), places)

    def join(self, tokens: list[str]) -> str:
        """The text that the library makes of the pieces."""
        return self._processor.decode(tokens) if tokens else ""


def _processor(content: bytes) -> SentencePieceProcessor:
    if not content:
        raise ValueError("there is nothing in it")
    return SentencePieceProcessor(model_proto=content)


# ----------------------------------------------------------------------------- the model's bytes


def _hidden(content: bytes, spellings: Collection[str]) -> bytes:
    """A model in which these pieces are control symbols, which are never found in text."""
    wanted = {spelling.encode("utf-8") for spelling in spellings}
    parts = []
    for number, begin, end, value in message_fields(content):
        whole = content[begin:end]
        if number == _PIECES and isinstance(value, bytes):
            fields = {field: found for field, _, _, found in message_fields(value)}
            kind = fields.get(_TYPE, _NORMAL)
            if fields.get(_SPELLING) in wanted and kind in (_NORMAL, _USER_DEFINED):
                kept = [value[b:e] for field, b, e, _ in message_fields(value) if field != _TYPE]
                piece = b"".join([*kept, bytes([_TYPE << 3 | _VARINT, _CONTROL])])
                whole = bytes([_PIECES << 3 | _BYTES]) + _varint(len(piece)) + piece
        parts.append(whole)
    return b"".join(parts)


def message_fields(message: bytes) -> Iterator[tuple[int, int, int, int | bytes]]:
    """Number, first byte, end and value of each field of a message."""
    place = 0
    while place < len(message):
        begin = place
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(message, place)
        else:
            if kind == _BYTES:
                size, place = _read_varint(message, place)
            else:
                size = struct.calcsize("<d" if kind == _FIXED64 else "<f")
            value, place = message[place : place + size], place + size
        yield key >> 3, begin, place, value


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, place, shift = value | (byte & 0x7F) << shift, place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
