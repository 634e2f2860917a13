"""Files and folders that are either whole or not there."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from uer.errors import UserError

SCRATCH = ".uer-unfinished-"
_OLD = "-old"
_YOUNG = 60  # seconds in which a scratch may not be locked yet by the process that makes it
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextlib.contextmanager
def atomic_folder(path: str | Path, manifest: str) -> Iterator[Path]:
    """A scratch folder that becomes ``path`` when the block ends, and vanishes if it fails.

    Everything is written to disk before the rename. A folder that stood at ``path`` is replaced
    only if its manifest lists every file in it (so: nothing that somebody put there is lost); it
    stays readable until the new one is in place.

    Args:
        path: the folder to make.
        manifest: name of the JSON file that lists the others under ``files``, in every folder of
            this kind.

    Raises:
        UserError: the place cannot be written, or holds something that is not ours.
    """
    target = Path(path)
    _require_ours(target, manifest)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH + target.name + "-", dir=target.parent))
    except OSError as error:
        raise UserError(f"cannot write to {target.parent}: {error.strerror}.") from error
    scratch.chmod(0o777 & ~_umask())
    with _held(scratch):
        _remove_abandoned(target)
        try:
            yield scratch
            sync_tree(scratch)
            _swap(scratch, target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A scratch file that becomes ``path`` when the block ends, and vanishes if it fails.

    Raises:
        UserError: the place cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=SCRATCH + target.name + "-", dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write to {target.parent}: {error.strerror}.") from error
    os.close(handle)
    scratch = Path(name)
    scratch.chmod(0o666 & ~_umask())
    try:
        yield scratch
        _sync(scratch)
        scratch.replace(target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def require_writable(path: str | Path, manifest: str) -> None:
    """Fail now, not hours later, if `atomic_folder` could not make ``path``.

    Raises:
        UserError: the place cannot be written, or holds something that is not ours.
    """
    target = Path(path)
    _require_ours(target, manifest)
    probe_place(target)


def probe_place(target: Path) -> None:
    """Write and remove a file beside ``target``.

    Raises:
        UserError: the place cannot be written.
    """
    probe = target.with_name(target.name + ".probe")
    with atomic_file(probe) as scratch:
        scratch.write_bytes(b"")
    probe.unlink()


def sync_tree(folder: Path) -> None:
    """Flush every file below a folder, and the folders themselves, to the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            _sync(Path(root) / name)
        _sync(Path(root))


def _require_ours(target: Path, manifest: str) -> None:
    """Nothing stands at ``target`` but what a folder of this kind wrote itself."""
    if target.is_file():
        raise UserError(
            f"{target} is a file, a folder is to be written there; choose another path."
        )
    if not target.is_dir():
        return
    present = {str(file.relative_to(target)) for file in target.rglob("*") if not file.is_dir()}
    foreign = sorted(present - _listed(target / manifest) - {manifest})
    if foreign:
        names = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise UserError(
            f"{target} exists and holds other files ({names}), which would be lost; choose another "
            "path, or move them."
        )


def _listed(manifest: Path) -> set[str]:
    """The files that a manifest lists; none if there is no manifest."""
    try:
        return set(json.loads(manifest.read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@contextlib.contextmanager
def _held(scratch: Path) -> Iterator[None]:
    """Lock a scratch folder, which tells others that its process is alive."""
    handle = os.open(scratch, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left of earlier attempts to write ``target``."""
    for scratch in target.parent.glob(f"{SCRATCH}{escape(target.name)}-*"):
        with contextlib.suppress(OSError):
            if not scratch.is_dir() or time.time() - scratch.stat().st_mtime < _YOUNG:
                continue
            if scratch.name.endswith(_OLD) and not target.exists():
                continue  # the last whole one
            handle = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch)
            finally:
                os.close(handle)


def _swap(scratch: Path, target: Path) -> None:
    """Put scratch in target's place; the old folder is gone only when the new one stands."""
    if not target.exists():
        scratch.rename(target)
    elif _exchange(scratch, target):
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        old = scratch.with_name(scratch.name + _OLD)
        target.rename(old)
        scratch.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    _sync(target.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step, where the system can: no moment is without a whole folder."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):  # not Linux
        return False
    return rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
