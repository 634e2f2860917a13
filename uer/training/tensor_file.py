"""Files of tensors in the format of safetensors, written one tensor after the other.

The library writes what is all in memory. Here a tensor is asked for when its turn has come, so that
of a divided model no more than one is whole, and nothing is copied that is on the CPU already; and
Python's other threads go on meanwhile.

A file is the length of its header (8 bytes, little-endian), the header as JSON (name → type, shape,
where its bytes begin and end), and the bytes of the tensors without gaps, the widest types first,
so that all are aligned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from uer.errors import CheckpointError
from uer.training.lazy import Lazies, Lazy, untie

# In the order in which they stand in a file.
_NAMES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


@dataclass(frozen=True)
class TensorFile:
    """What a file will hold.

    Args:
        tensors: each once, in their order.
        metadata: words beside them.
    """

    tensors: dict[str, Lazy]
    metadata: dict[str, str]


def plain_file(lazies: Lazies) -> TensorFile:
    """A file of tensors that are all different."""
    return TensorFile(_in_order(lazies), {})


def weights_file(lazies: Lazies) -> TensorFile:
    """A file of weights: tied ones once, their other names in the metadata."""
    owners, aliases = untie(lazies)
    return TensorFile(_in_order(owners), {"format": "pt", "aliases": json.dumps(aliases)})


def write_tensors(path: Path, file: TensorFile, values: Iterator[torch.Tensor]) -> None:
    """Write a file.

    Args:
        path: where.
        file: what.
        values: gives the file's tensors, in its order; others may follow.

    Raises:
        OSError: the disk is full, for example.
    """
    with path.open("wb") as out:
        out.write(_header(file))
        for _ in file.tensors:
            value = next(values).detach().to("cpu").contiguous()
            out.write(value.reshape(-1).view(torch.uint8).numpy().data)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors of a file, and the words beside them.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); copy the checkpoint again."
        ) from error


def read_weights_file(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file by name; tied names share a tensor.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    tensors, metadata = read_tensors(path)
    aliases: dict[str, str] = json.loads(metadata.get("aliases", "{}"))
    return tensors | {name: tensors[owner] for name, owner in aliases.items()}


def _in_order(lazies: Lazies) -> dict[str, Lazy]:
    places = {dtype: place for place, dtype in enumerate(_NAMES)}
    names = sorted(lazies, key=lambda name: (places[lazies[name].dtype], name))
    return {name: lazies[name] for name in names}


def _header(file: TensorFile) -> bytes:
    entries: dict[str, Mapping[str, object]] = {}
    if file.metadata:
        entries["__metadata__"] = file.metadata
    end = 0
    for name, one in file.tensors.items():
        start, end = end, end + one.nbytes
        entries[name] = {
            "dtype": _NAMES[one.dtype],
            "shape": list(one.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
