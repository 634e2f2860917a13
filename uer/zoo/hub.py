"""Fetching the zoo's models from the Hugging Face hub into the cache that its library keeps.

The library is asked for one file after another, so HF_HOME, HF_ENDPOINT, HF_TOKEN and
HF_HUB_OFFLINE mean what they always mean. Every file is compared with the size and checksum that
the hub states (sha256 of large files, git's sha1 of small ones); what differs is fetched once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from uer.errors import UserError
from uer.zoo.errors import sentence
from uer.zoo.files import is_whole, needed
from uer.zoo.manifest import Entry

_log = logging.getLogger(__name__)


def library() -> Any:
    """The module ``huggingface_hub``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise UserError(
            "models of the zoo are fetched with huggingface_hub, which is not installed; "
            "`pip install uer[hub]` installs it."
        ) from None


def cached(entry: Entry, *, cache: str | None = None) -> Path | None:
    """The folder of a model that was fetched before, if it is whole; nothing is asked of the hub.

    Args:
        entry: the model.
        cache: the library's cache; by default where its environment variables say.
    """
    found = library().try_to_load_from_cache(
        entry.repo, "config.json", revision=entry.revision, cache_dir=cache
    )
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if is_whole(files_in(folder)) else None


def files_in(folder: Path) -> list[str]:
    """Names of the files below a folder, with ``/`` between."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def damaged(folder: Path) -> list[str]:
    """Files of a cached model that are not what was fetched.

    The cache names contents by their checksums and links to them; where the system has no links,
    nothing can be said.
    """
    names = needed(files_in(folder))
    return [name for name in names if _fault(folder / name, _linked_digest(folder / name))]


def fetch(entry: Entry, *, endpoint: str | None = None, cache: str | None = None) -> Path:
    """Bring a model's newest files of its revision into the cache.

    Offline (HF_HUB_OFFLINE), what was fetched before is enough.

    Args:
        entry: the model.
        endpoint: address of the hub; by default where the library's environment variables say.
        cache: as for `cached`.

    Returns:
        Its folder: whole, and every file as the hub describes it.

    Raises:
        UserError: a sentence for whatever prevented it.
    """
    hub = library()
    if importlib.import_module("huggingface_hub.constants").HF_HUB_OFFLINE:
        return _offline(entry, cache)
    get = partial(hub.hf_hub_download, entry.repo, endpoint=endpoint, cache_dir=cache)
    with _told(entry):
        listing = hub.HfApi(endpoint=endpoint).model_info(
            entry.repo, revision=entry.revision, files_metadata=True
        )
    facts = {file.rfilename: file for file in listing.siblings}
    names = needed(facts.keys())
    if not is_whole(names):
        raise UserError(
            f"{entry.repo} holds no config.json, or neither model.safetensors nor "
            "pytorch_model.bin; a model in another format cannot be read."
        )
    # From here on the commit is asked for: all files are of one, and cached ones need no request.
    with _told(entry):
        folder = Path(get("config.json", revision=listing.sha)).parent
    _require_space(folder, sum(facts[n].size or 0 for n in names if not (folder / n).exists()))
    for name in names:
        _fetch_file(entry, partial(get, name, revision=listing.sha), facts[name])
    # Only now the branch, as `cached` sees it, moves to this commit.
    with _told(entry):
        get("config.json", revision=entry.revision)
    return folder


def _fetch_file(entry: Entry, get: Callable[..., str], fact: Any) -> None:
    """One file, compared with what the hub says of it; if it differs, fetched once more."""
    digest = fact.lfs.sha256 if fact.lfs else fact.blob_id
    fault = None
    for again in (False, True):
        with _told(entry):
            path = Path(get(force_download=again))
        fault = _fault(path, digest, fact.size)
        if fault is None:
            return
        _log.info("%s is damaged (%s).", path, fault)
    raise UserError(
        f"{fact.rfilename} of {entry.repo} is not what the hub describes, even when fetched again "
        f"({fault}); try later, or leave out the mirror (HF_ENDPOINT) if there is one."
    )


def _offline(entry: Entry, cache: str | None) -> Path:
    folder = cached(entry, cache=cache)
    if folder is None:
        raise UserError(
            f"{entry.name} ({entry.repo}) is not in the cache, and HF_HUB_OFFLINE forbids to fetch "
            f"it; unset it, or run `uer zoo download {entry.name}` where there is a network."
        )
    broken = damaged(folder)
    if broken:
        raise UserError(
            f"{folder / broken[0]} is damaged, and HF_HUB_OFFLINE forbids to fetch it again; unset "
            "it once."
        )
    return folder


def _linked_digest(path: Path) -> str | None:
    return path.readlink().name if path.is_symlink() else None


def _fault(path: Path, digest: str | None, size: int | None = None) -> str | None:
    """What is wrong with a file; None: nothing that can be told."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"{found:,} bytes instead of {size:,}"
    if digest is None or len(digest) not in (40, 64):
        return None
    # Git hashes a header with the length before the content; large files are hashed as they are.
    running = hashlib.sha256()
    if len(digest) == 40:
        running = hashlib.sha1(b"blob %d\0" % found, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            running.update(block)
    return None if running.hexdigest() == digest else "its checksum differs"


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{size:,} bytes are to be fetched, but the disk of {folder} has {free:,} left; make "
            "room, or set HF_HOME to a folder on another disk."
        )


@contextlib.contextmanager
def _told(entry: Entry) -> Iterator[None]:
    """Turns whatever the library raises into one sentence."""
    try:
        yield
    except Exception as error:  # of its HTTP library, of the file system, its own: many kinds
        raise UserError(sentence(entry, error)) from error
