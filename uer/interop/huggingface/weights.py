"""Weights of a folder: safetensors or torch's files, in one piece or in shards."""

from __future__ import annotations

import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from uer.errors import CheckpointError

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
ADAPTERS, ADAPTERS_CONFIG = "adapter_model", "adapter_config.json"
INDEX = ".index.json"
_SHARD = 5_000_000_000  # bytes of a file, at most


class FolderWeights(Mapping[str, torch.Tensor]):
    """The tensors of a folder by name; each is read when it is asked for.

    Args:
        folder: holds `SAFETENSORS` or `TORCH`, or the index of one of them and its shards.

    Raises:
        CheckpointError: there are no such files, one is damaged, or a shard is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self._files: dict[str, _File] = {}
        for path in weight_files(Path(folder)):
            file = _Safetensors(path) if path.suffix == ".safetensors" else _Torch(path)
            self._files |= dict.fromkeys(file.names(), file)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._files[name].get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def adapter_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder of the library peft.

    Raises:
        CheckpointError: there are none, or the file is damaged.
    """
    for suffix in (".safetensors", ".bin"):
        path = folder / (ADAPTERS + suffix)
        if path.is_file():
            file = _Safetensors(path) if suffix == ".safetensors" else _Torch(path)
            return {name: file.get(name) for name in file.names()}
    raise CheckpointError(
        f"{folder}: there is no {ADAPTERS}.safetensors; copy or download the folder again."
    )


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder; safetensors are preferred.

    Raises:
        CheckpointError: there are none that can be read; says what is there instead.
    """
    for name in (SAFETENSORS, TORCH):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / (name + INDEX)
        if index.is_file():
            return _shards(index)
    expected = f"there are no weights; expected {SAFETENSORS} or {TORCH}, or the index of one."
    raise CheckpointError(f"{folder}: {foreign_weights(folder) or expected}")


def read_json(path: Path) -> dict[str, Any]:
    """A mapping from a JSON file.

    Raises:
        CheckpointError: the file cannot be read or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path} is no JSON ({error}); copy or download the folder again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no mapping; copy or download the folder again.")
    return value


def write_weights(tensors: Mapping[str, torch.Tensor], folder: Path, limit: int = _SHARD) -> None:
    """Write safetensors files; what is larger than ``limit`` bytes in all gets an index."""
    shards: list[list[str]] = [[]]
    sizes = [0]
    for name in sorted(tensors):
        size = tensors[name].numel() * tensors[name].element_size()
        if shards[-1] and sizes[-1] + size > limit:
            shards.append([])
            sizes.append(0)
        shards[-1].append(name)
        sizes[-1] += size
    stem = SAFETENSORS.removesuffix(".safetensors")
    files = [f"{stem}-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    files = files if len(files) > 1 else [SAFETENSORS]
    for file, names in zip(files, shards, strict=True):
        write_file({name: tensors[name] for name in names}, folder / file)
    if len(files) > 1:
        places = {name: f for f, names in zip(files, shards, strict=True) for name in names}
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": places}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / (SAFETENSORS + INDEX)).write_text(text, encoding="utf-8")


def write_file(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write one safetensors file; what shares memory here is written as often as it has names."""
    owned = {n: tensor.detach().to("cpu").contiguous().clone() for n, tensor in tensors.items()}
    save_file(owned, path, {"format": "pt"})


class _File(ABC):
    """One file of tensors."""

    @abstractmethod
    def names(self) -> list[str]:
        """Of its tensors."""

    @abstractmethod
    def get(self, name: str) -> torch.Tensor:
        """One of them."""


class _Safetensors(_File):
    def __init__(self, path: Path) -> None:
        try:
            self._file = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error

    def names(self) -> list[str]:
        return list(self._file.keys())

    def get(self, name: str) -> torch.Tensor:
        return self._file.get_tensor(name)


class _Torch(_File):
    def __init__(self, path: Path) -> None:
        self._tensors = read_torch(path)

    def names(self) -> list[str]:
        return list(self._tensors)

    def get(self, name: str) -> torch.Tensor:
        return self._tensors[name]


def read_torch(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of ``torch.save``; no code of it is run.

    Raises:
        CheckpointError: the file cannot be read, or holds something else.
    """
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped into memory
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the reader fail in many ways
        reason: object = error
        if isinstance(error, pickle.UnpicklingError):  # whose advice is to run the file's code
            reason = "it is no file of torch.save, or holds other things than tensors"
        raise _damaged(path, reason) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise CheckpointError(f"{path} holds no dictionary of tensors by name.")
    return state


def _damaged(path: Path, reason: object) -> CheckpointError:
    text = str(reason).partition("\n")[0] or type(reason).__name__
    return CheckpointError(
        f"{path} cannot be read ({text}); it is damaged or cut off: copy or download it again."
    )


def _shards(index: Path) -> list[Path]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} names no files; copy or download the folder again.")
    files = [index.parent / str(name) for name in sorted(set(places.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {', '.join(missing)}, which {index.name} names; copy or "
            "download the missing files."
        )
    return files


def foreign_weights(folder: Path) -> str | None:
    """A sentence about weights that are not read, or None."""
    if _any(folder, "*.h5", "tf_model*", "*.ckpt*"):
        return (
            "the weights are TensorFlow's, which are not read; save them with transformers' "
            "from_pretrained(…, from_tf=True).save_pretrained(…) first."
        )
    if _any(folder, "*.msgpack"):
        return (
            "the weights are Flax's, which are not read; save them with transformers' "
            "from_pretrained(…, from_flax=True).save_pretrained(…) first."
        )
    if _any(folder, ADAPTERS_CONFIG):
        return (
            "these are low-rank differences to the weights of another model; make a checkpoint of "
            "ours of them with `uer convert`, which names that model."
        )
    if _any(folder, "mp_rank_*", "iter_*", "latest_checkpointed_iteration.txt"):
        return (
            "this is a folder of Megatron, which is not read; convert it with the tools of its "
            "model to a folder with config.json and safetensors first."
        )
    return None


def _any(folder: Path, *patterns: str) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)
