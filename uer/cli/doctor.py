"""`uer doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from uer import __version__
from uer.errors import UserError
from uer.files import probe_place

if TYPE_CHECKING:
    import torch

Line = tuple[str, str]

_APEX = {
    "absent": "not installed; only --correct_bias false on a GPU would be faster with NVIDIA's",
    "nvidia": "NVIDIA's; used for --correct_bias false on a GPU",
    "other": "another project of this name, from PyPI, which is not used; NVIDIA's is installed "
    "from its repository",
    "broken": "NVIDIA's, but without its CUDA kernels, so it is not used; install it with them",
}
_FOR_TESTS = ("test", "dev")


def doctor(
    *, device: Annotated[str, "what to look at: auto, cpu, cuda, cuda:<n> or mps"] = "auto"
) -> None:
    """Say what works on this machine: versions, devices, arithmetic, extras, the current folder.

    What is missing comes with the command that installs it.
    """
    lines = [*_versions()]
    try:
        importlib.import_module("torch")
    except (ImportError, OSError) as error:
        lines.append(("devices", f"torch cannot be loaded ({error}): pip install torch"))
    else:
        lines += [*_computing(device), *_others()]
    lines += [*_extras(), *_folder(Path.cwd())]
    width = max(len(name) for name, _ in lines)
    sys.stdout.write("".join(f"{name:<{width}}  {text}\n" for name, text in lines))


def _versions() -> Iterator[Line]:
    yield "uer", __version__
    yield "python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.machine()}"
    yield "torch", _installed("torch") or "missing: pip install torch"


def _computing(device: str) -> Iterator[Line]:
    """What torch finds, and what the toolkit makes of it."""
    from uer.training import machine

    prepared = machine.prepare(device)
    yield "devices", _devices()
    yield "device", f"{prepared.device} (--device)"
    why = _why(prepared.device, prepared.precision)
    yield "precision", f"{prepared.precision}: {why} (--precision)"
    yield "process", ", ".join(prepared.notes)
    yield "cores", f"{_cores()} may be used (--threads, OMP_NUM_THREADS)"


def _devices() -> str:
    import torch

    found = ["cpu"]
    for number in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(number)
        found.append(f"cuda:{number} {of.name}, {of.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps")
    return "; ".join(found)


def _why(device: torch.device, precision: str) -> str:
    """Why `uer.training.machine.choose_precision` chose so."""
    if device.type == "mps":
        return "bf16 and fp16 have to be asked for on mps"
    gpu = device.type == "cuda"
    units = "units for bf16" if gpu else "matrix instructions for bf16 (AMX)"
    return f"the {'GPU' if gpu else 'CPU'} has {'' if precision == 'bf16' else 'no '}{units}"


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _extras() -> Iterator[Line]:
    """The toolkit's optional dependencies, as its own package declares them."""
    try:
        declared = requires("uer") or []
    except PackageNotFoundError:
        yield "extras", "not known: the toolkit is not installed; pip install -e . in its folder"
        return
    extras: dict[str, list[str]] = {}
    for requirement in declared:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if extra and name and extra[1] not in _FOR_TESTS:
            extras.setdefault(extra[1], []).append(name[0])
    for extra, packages in extras.items():
        there = {name: _installed(name) for name in packages}
        missing = [name for name, found in there.items() if found is None]
        have = ", ".join(f"{name} {found}" for name, found in there.items() if found)
        lacks = f"missing {', '.join(missing)}: pip install 'uer[{extra}]'" if missing else ""
        yield f"extra {extra}", "; ".join(text for text in (have, lacks) if text)


def _others() -> Iterator[Line]:
    """Packages that are there and may not work all the same."""
    from uer.optimizers._apex import find_apex

    yield "apex", _APEX[find_apex()]
    if _installed("deepspeed") is not None:
        try:
            importlib.import_module("deepspeed")
            yield "deepspeed", "can be imported"
        except Exception as error:  # it compiles and probes while it is imported
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            yield "deepspeed", f"is installed, but cannot be imported ({what})"


def _folder(folder: Path) -> Iterator[Line]:
    free = shutil.disk_usage(folder).free / 2**30
    try:
        probe_place(folder / "uer-doctor")
        writable = "can be written"
    except UserError as error:
        writable = str(error).rstrip(".")
    yield "folder", f"{folder}: {writable}, {free:.1f} GiB free"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
