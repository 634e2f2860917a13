"""Copies of a run's tensors, in memory that is kept from one checkpoint to the next."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import torch

from uer.training.checkpoint import Draft
from uer.training.lazy import Lazy

_SPARE = 0.9  # share of the free memory that may be taken


class Kept:
    """Memory for the copies of a checkpoint's tensors.

    Taking it anew costs as much as copying; so what was taken for one checkpoint serves the next.

    Args:
        device: where the tensors live; memory is pinned for what can copy to it by itself.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies: dict[tuple[str, str], torch.Tensor] = {}

    def has_room(self, draft: Draft) -> bool:
        """Whether there is memory for all copies, taken already or free."""
        wanted = {
            (place, name): one
            for place, file in draft.files.items()
            for name, one in file.tensors.items()
        }
        missing = sum(one.nbytes for key, one in wanted.items() if not self._fits(key, one))
        free = free_memory()
        return free is None or missing <= _SPARE * free

    def copy(self, draft: Draft) -> Draft:
        """The same with copies of the tensors, which it brings together. In the main process."""
        values, copies, files = draft.values(), {}, {}
        for place, file in draft.files.items():
            found = {}
            for name, one in file.tensors.items():
                key = place, name
                copy = self._copies[key] if self._fits(key, one) else self._empty(one)
                self._fill(copy, next(values).detach())
                copies[key] = copy
                found[name] = Lazy(one.shape, one.dtype, copy.detach)
            files[place] = replace(file, tensors=found)
        self._copies = copies
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return replace(draft, files=files)

    def _fill(self, copy: torch.Tensor, value: torch.Tensor) -> None:
        """Copy; on a CPU in this thread alone.

        Memory is the limit, and threads that wait for each other, tensor by tensor, wait for
        whatever else the machine does.
        """
        if value.device.type != "cpu":
            copy.copy_(value, non_blocking=self._device.type == "cuda")
            return
        value = value.contiguous()
        assert (value.shape, value.dtype) == (copy.shape, copy.dtype), "a tensor is as announced"
        ctypes.memmove(copy.data_ptr(), value.data_ptr(), value.numel() * value.element_size())

    def _fits(self, key: tuple[str, str], one: Lazy) -> bool:
        copy = self._copies.get(key)
        return copy is not None and (tuple(copy.shape), copy.dtype) == (one.shape, one.dtype)

    def _empty(self, one: Lazy) -> torch.Tensor:
        return torch.empty(one.shape, dtype=one.dtype, pin_memory=self._device.type == "cuda")


def free_memory() -> int | None:
    """Bytes of the machine's memory that can be taken; None where nobody says (not Linux).

    A container's own limit counts, too (cgroup 2).
    """
    found = _numbers(Path("/proc/meminfo"), ":")
    if "MemAvailable" not in found:
        return None
    free = found["MemAvailable"] * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or no limit
        return free
    cached = _numbers(group / "memory.stat", " ").get("inactive_file", 0)
    return min(free, limit - used + cached)


def _numbers(path: Path, separator: str) -> dict[str, int]:
    """Lines of a name, a separator and a number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = [line.partition(separator) for line in lines]
    words = {name: value.split() for name, _, value in pairs}
    return {name: int(found[0]) for name, found in words.items() if found and found[0].isdigit()}
