"""Prepares the process before anything computes.

Two settings cost nothing and are worth a lot on a CPU. Denormal numbers make a step four times
slower when logits are peaked; the threads of the first parallel operation inherit the flag that
flushes them to zero, later ones do not, so it is set first. And glibc returns every large tensor to
the system at once: page faults take a tenth of a step unless it is told to keep the memory.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from uer.errors import ConfigError
from uer.training.settings import Precision

Arithmetic = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Machine:
    """What the process computes on, and what was done to it.

    Args:
        device: where the model lives.
        precision: arithmetic of the forward pass.
        notes: what was set, for the log.
    """

    device: torch.device
    precision: Arithmetic
    notes: tuple[str, ...]

    def line(self) -> str:
        """One line for the log."""
        return ", ".join((f"device {self.device}", f"precision {self.precision}", *self.notes))


def prepare(
    device: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    *,
    tf32: bool = False,
) -> Machine:
    """Set up the process; call it before any tensor is computed.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
        precision: ``auto``: bf16 where the device has units for it, fp32 elsewhere.
        threads: of the CPU; None: torch's own choice.
        tf32: on a GPU, products of fp32 matrices and convolutions round their factors.

    Raises:
        ConfigError: the device is not there, or cannot compute in this precision.
    """
    notes = [_flush_denormals(), _keep_memory()]
    if threads is not None:
        torch.set_num_threads(threads)
    notes.append(f"{torch.get_num_threads()} threads")
    place = choose_device(device)
    if place.type == "cuda" or tf32:
        notes.append(_round_products(place, tf32))
    return Machine(place, choose_precision(precision, place), tuple(notes))


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), numpy and Python."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, torch.Tensor]:
    """The states of all random generators, as tensors."""
    _, words, gauss = random.getstate()
    # ``legacy=False``: a dictionary, the type of whose values the stubs do not know
    state: dict[str, Any] = dict(np.random.get_state(legacy=False))
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(words),
        "python.gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(state["state"]["key"].astype(np.int64)),
        "numpy.position": torch.tensor([state["state"]["pos"], state["has_gauss"]]),
        "numpy.gauss": torch.tensor([state["gauss"]], dtype=torch.float64),
    }
    for index in range(torch.cuda.device_count()):
        states[f"cuda.{index}"] = torch.cuda.get_rng_state(index)
    return states


def set_random_state(states: dict[str, torch.Tensor]) -> None:
    """Restore what `random_state` returned; devices that are not there are left out."""
    torch.set_rng_state(states["torch"])
    gauss = states["python.gauss"].tolist()
    random.setstate((3, tuple(states["python"].tolist()), gauss[0] if gauss else None))
    position, has_gauss = states["numpy.position"].tolist()
    key = states["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, position, has_gauss, states["numpy.gauss"].item()))
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{index}"], index)


def seed_of_rank(seed: int, rank: int) -> int:
    """A seed of its own for every process of a run; rank 0 keeps the run's."""
    return (seed + 0x9E3779B1 * rank) % 2**32


def name_by_rank(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The `random_state` of every process, in one dictionary."""
    return {
        f"rank{rank}.{name}" if rank else name: value
        for rank, own in enumerate(states)
        for name, value in own.items()
    }


def state_of_rank(states: dict[str, torch.Tensor], rank: int) -> dict[str, torch.Tensor] | None:
    """What `name_by_rank` was given for a process; None if there was no such process."""
    prefix = f"rank{rank}." if rank else ""
    if f"{prefix}torch" not in states:
        return None
    return {name[len(prefix) :]: value for name, value in states.items() if name.startswith(prefix)}


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes the fastest kind there is.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else mps)
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigError([f"--device {name}: choose auto, cpu, cuda, cuda:<number> or mps."])
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if int(number or 0) >= there[kind]:
        raise ConfigError([f"--device {name}: torch finds {there[kind]} such devices; use auto."])
    return torch.device(name)


def choose_precision(wish: Precision, device: torch.device) -> Arithmetic:
    """The arithmetic of the forward pass.

    ``auto`` asks what the hardware has and measures nothing: the time of a short product says more
    about what else the machine is doing, and a CPU that emulates bf16 is ten times slower with it.

    Args:
        wish: what was asked for.
        device: where it runs.

    Raises:
        ConfigError: fp16 on a CPU.
    """
    if wish == "fp16" and device.type == "cpu":
        raise ConfigError(["--precision fp16: a CPU is slow at it; use auto, fp32 or bf16."])
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    """Whether the CPU has matrix instructions for bf16 (AMX); older torch does not know."""
    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("amx_bf16", False))


def _round_products(device: torch.device, tf32: bool) -> str:
    """Torch rounds the factors of convolutions by default and those of matrices never."""
    if device.type != "cuda":
        return f"no TF32 on {device.type}"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return f"TF32 {'on' if tf32 else 'off'}"


def _flush_denormals() -> str:
    done = torch.set_flush_denormal(True)
    return "denormals flushed" if done else "denormals kept (the CPU cannot flush them)"


def _keep_memory() -> str:
    """Tell glibc to keep freed memory and to serve large tensors from it."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        keep = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
        answers = [
            mallopt(option, value) for option, value in keep
        ]  # each, whatever the others say
        done = all(answers)
    except (AttributeError, OSError, TypeError):  # no glibc: another libc or another system
        done = False
    return "freed memory kept" if done else "freed memory returned (no glibc)"
