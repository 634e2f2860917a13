"""What the data path hands to a model: named tensors, one vocabulary of names.

A field's name is a path with dots. It starts with the *side* it belongs to: ``src`` (what the
encoder reads), ``tgt`` (what the decoder reads), ``labels``, or the name of a further view. A side
of two streams has sub-sides ``0`` and ``1`` (``src.0.ids``). Padding is always at the right end.

================== ============== ======= ========================================================
field              shape          dtype   meaning
================== ============== ======= ========================================================
<side>.ids         [B, L]         int64   token ids
<side>.segment     [B, L]         int64   segment types 0, 1, …; absent: all 0
<side>.position    [B, L]         int64   position inside its document; absent: 0 … L-1
<side>.document    [B, L]         int64   document within the row, -1 at padding; absent: one
<side>.validity    [B, L]         bool    True at real tokens; absent: there is no padding
<side>.prefix      [B, L]         bool    tokens that every token of the document may see
<side>.order       [B, L]         int64   k: the k-th token to predict; -k: its masked copy; 0:
                                          known from the start; absent: all are known
<side>.query       [B, Q]         int64   columns of each row's masked copies, -1 behind the last
<side>.first       [D]            int64   row * L + column of each document's first token
<side>.length      [D]            int64   tokens of each document; without ids: patches, frames or
                                          samples of each row
<side>.image       [B, C, H, W]   float32 pixels, transformed and normalised
<side>.frames      [B, F, M]      float32 acoustic frames of M filter banks, 0 behind the end
<side>.wave        [B, S]         float32 samples, 0 behind the end
<side>.regions     [B, R, D]      float32 vectors of image regions
<side>.boxes       [B, R, K]      float32 where these regions lie
<side>.visible     [B, V]         int64   ascending numbers of the patches that the encoder reads;
                                          absent: all
<side>.masked      [B, P]         bool    patches or frames whose vector the mask vector replaces
labels.<t>.index   [M]            int64   where target <t> predicts: row * L + column, or a
                                          document, or row * P + patch
labels.<t>.value   [M] or [M, C]  int64   what it should predict; float [M, C] when soft
                                  float
labels.<t>.*_index [M]            int64   where target <t> predicts something else besides, and
labels.<t>.*_value [M]            int64   what: ``backward_`` is the token before (bilm);
                                          ``negative_index`` [M, K]: what is not the answer
================== ============== ======= ========================================================

Patches are counted row by row of the image; labels at patches or frames count them alone, ``row * P
+ patch``, whatever else stands in the sequence (class token, text).

A rank that has no rows left is given one whose labels, ``first`` and ``length`` are empty: it has
no document (D = 0). So an embedding that reads no ids takes over ``first`` where there is one.

The indices of a model with a decoder count in the side that the decoder reads, ``tgt``.

B rows, L tokens of a row, D documents of all rows, M items predicted, C classes (of an image:
channels), P patches or frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from uer.errors import DataError, did_you_mean

LEAVES = ("ids", "segment", "position", "document", "validity", "prefix", "order", "query")
LEAVES += ("first", "length")
LEAVES += ("image", "frames", "wave", "regions", "boxes", "visible", "masked")
_LABEL = re.compile(r"labels\.\w+\.(\w+_)?(index|value)$")


class Batch(Mapping[str, torch.Tensor]):
    """An immutable mapping from field names to tensors.

    Args:
        fields: the tensors by name; see the module's table for the vocabulary.

    Raises:
        DataError: a name is not in the vocabulary.
    """

    def __init__(self, fields: Mapping[str, torch.Tensor]) -> None:
        for name in fields:
            leaf = name.rpartition(".")[2]
            if not _LABEL.match(name) and leaf not in LEAVES:
                raise DataError(
                    f"a batch has no field '{name}'{did_you_mean(leaf, LEAVES)} "
                    "The vocabulary stands in uer/batch.py."
                )
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._fields:
            have = ", ".join(sorted(self._fields)) or "nothing"
            raise DataError(
                f"the batch has no field '{name}'; it has: {have}. "
                "Choose a data processor that provides it."
            )
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or ``default`` where the batch has none."""
        return self._fields.get(name, default)

    def side(self, name: str) -> Batch:
        """The fields below ``name``, with the prefix taken off: ``batch.side("src")["ids"]``."""
        prefix = name + "."
        return self._made(
            {key[len(prefix) :]: value for key, value in self.items() if key.startswith(prefix)}
        )

    def replace(self, **fields: torch.Tensor) -> Batch:
        """A batch with some fields exchanged; ``__`` stands for the dot (``src__ids=…``)."""
        return Batch({**self._fields, **{k.replace("__", "."): v for k, v in fields.items()}})

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._made({k: v.to(device, non_blocking=non_blocking) for k, v in self.items()})

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from where copies to a GPU do not block."""
        return self._made({k: v.pin_memory() for k, v in self.items()})

    def tokens(self) -> int:
        """Real tokens, patches or frames (padding not counted) of all sides: what throughput is
        measured in.

        Reads only shapes and document lengths, which the data path makes on the host.
        """
        return sum(int(v.sum()) for k, v in self.items() if k.endswith(".length"))

    @staticmethod
    def _made(fields: dict[str, torch.Tensor]) -> Batch:
        """A batch from names that were checked before."""
        batch = Batch.__new__(Batch)
        batch._fields = fields
        return batch
