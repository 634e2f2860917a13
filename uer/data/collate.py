"""From prepared instances to a batch: put rows side by side, say where what is, make tensors.

The instances arrive in the order of their rows, so a token's place in the batch is its place among
all tokens plus a shift that is constant per row; everything else follows from these places.
A field that would say nothing is left out (see `uer.batch` for what its absence means).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from uer.batch import Batch
from uer.data.instances import Ints
from uer.data.packing import Packing
from uer.data.ragged import Ragged
from uer.processors.base import Prepared


class Rows(NamedTuple):
    """How instances lie in rows.

    Args:
        counts: [B] instances of each row, in order.
        widths: tokens of a row by side; a side without: as long as its longest row in the batch.
        packing: whether the instances of a row see each other (``joined``) or not.
    """

    counts: Ints
    widths: Mapping[str, int]
    packing: Packing


_EACH = ("first", "length")  # one entry per document


def collate(
    prepared: Prepared,
    rows: Rows,
    *,
    pad_id: int,
    tgt_pad_id: int | None = None,
    labelled: bool = True,
) -> Batch:
    """Make a batch.

    Every side has the same documents in the same order, so those that belong together carry the
    same number.

    Args:
        prepared: the instances, row after row.
        rows: how they lie.
        pad_id: id at padding.
        tgt_pad_id: id at padding of the sides that the decoder reads; None: the same.
        labelled: False leaves every target without items, for a rank that has no rows left.

    Returns:
        The batch, on the CPU; integers as int64, soft labels as float32.
    """
    fields: dict[str, NDArray[Any]] = {}
    places = {}
    for side, ragged in prepared.sides.items():
        pad = tgt_pad_id if tgt_pad_id is not None and side.startswith("tgt") else pad_id
        lying = rows
        if side in prepared.counts:
            lying = Rows(prepared.counts[side], {}, "documents")
        places[side], own = _side(ragged, lying, lying.widths.get(side), pad)
        fields |= {f"{side}.{name}": value for name, value in own.items()}
    for name, values in prepared.arrays.items():
        fields |= {key: value for key, value in _array(name, values).items() if key not in fields}
    labels: dict[str, NDArray[Any]] = {}
    for target, of_patches in prepared.patch_labels.items():
        labels |= {f"labels.{target}.{leaf}": v for leaf, v in of_patches.fields().items()}
    for target, (side, index, value) in prepared.token_labels.items():
        name, _, prefix = target.partition(".")
        stem = f"labels.{name}.{prefix}_" if prefix else f"labels.{name}."
        labels[f"{stem}index"] = places[side][index]
        labels[f"{stem}value"] = value
    for target, value in prepared.row_labels.items():
        labels[f"labels.{target}.index"] = np.arange(len(value))
        labels[f"labels.{target}.value"] = value
    if not labelled:  # no documents either, for targets that score each of them
        sides = [name.removesuffix(".length") for name in fields if name.endswith(".length")]
        # A sound's length is that of its row.
        sides = [one for one in sides if not fields.keys() & {f"{one}.frames", f"{one}.wave"}]
        labels |= {f"{side}.{leaf}": fields[f"{side}.length"] for side in sides for leaf in _EACH}
        labels = {name: value[:0] for name, value in labels.items()}
    fields |= labels
    return Batch({name: torch.from_numpy(_plain(value)) for name, value in fields.items()})


def _side(
    ragged: Ragged, rows: Rows, width: int | None, pad_id: int
) -> tuple[Ints, dict[str, NDArray[Any]]]:
    """Lay one side out.

    Returns:
        [T] the place ``row * L + column`` of every token, and the side's fields by name.
    """
    last = np.cumsum(rows.counts)
    starts = ragged.offsets[last - rows.counts]
    sizes = ragged.offsets[last] - starts
    width = int(sizes.max()) if width is None else width
    assert sizes.max() <= width, "a row is longer than the batch is wide"
    shape = (len(sizes), width)
    place = np.arange(len(ragged.ids)) + np.repeat(np.arange(len(sizes)) * width - starts, sizes)

    def laid_out(values: NDArray[Any], padding: int) -> NDArray[Any]:
        field = np.full(shape, padding, values.dtype)
        field.reshape(-1)[place] = values
        return field

    fields = {"ids": laid_out(ragged.ids, pad_id), "length": ragged.lengths()}
    if ragged.segment is not None:
        fields["segment"] = laid_out(ragged.segment, 0)
    if ragged.prefix is not None:
        fields["prefix"] = laid_out(ragged.prefix, False)
    if len(place) < shape[0] * width:
        fields["validity"] = np.arange(width) < sizes[:, None]
    if ragged.position is not None:
        fields["position"] = laid_out(ragged.position, 0)
    if ragged.order is not None:
        fields["order"] = laid_out(ragged.order, 0)
        fields["query"] = _columns(fields["order"] < 0)
    if len(ragged) > len(sizes):
        fields["first"] = place[ragged.offsets[:-1]]
        if rows.packing == "documents":
            number = np.arange(len(ragged)) - np.repeat(last - rows.counts, rows.counts)
            fields["document"] = laid_out(np.repeat(number, ragged.lengths()), -1)
            fields["position"] = laid_out(ragged.positions(), 0)
    return place, fields


def _array(name: str, values: NDArray[Any] | list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A field with a row per instance; of rows of different lengths also how long they are."""
    if not isinstance(values, list):
        return {name: values}
    lengths = np.array([len(row) for row in values])
    field = np.zeros((len(values), int(lengths.max()), *values[0].shape[1:]), values[0].dtype)
    for place, row in zip(field, values, strict=True):
        place[: len(row)] = row
    return {name: field, f"{name.rpartition('.')[0]}.length": lengths}


def _columns(wanted: NDArray[np.bool_]) -> Ints:
    """[B, Q] columns of what is wanted [B, L] in each row, -1 behind the last."""
    counts = wanted.sum(axis=1)
    columns = np.full((len(wanted), int(counts.max(initial=0))), -1, np.int64)
    columns[np.arange(columns.shape[1]) < counts[:, None]] = np.nonzero(wanted)[1]
    return columns


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    """In one of the three types of a batch: bool, int64, float32."""
    kinds = {"b": np.bool_, "f": np.float32}
    return np.ascontiguousarray(value, kinds.get(value.dtype.kind, np.int64))
