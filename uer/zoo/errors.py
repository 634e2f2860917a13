"""What went wrong with a transfer, in a sentence with the way out."""

from __future__ import annotations

import errno

from uer.zoo.manifest import Entry


def sentence(entry: Entry, error: Exception) -> str:
    """What to tell the user about an error that fetching a model raised."""
    from huggingface_hub import errors  # fetching has imported it; nothing else needs it

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(
        error.__cause__, errors.HfHubHTTPError
    ):
        error = error.__cause__  # why the file, which is not in the cache, was not fetched either
    what = f"{entry.name} ({entry.repo})"
    page = f"https://huggingface.co/{entry.repo}"
    login = "log in with `hf auth login` or set HF_TOKEN"
    # The first kind that fits; some are kinds of others.
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (
            errors.GatedRepoError,
            f"{what} is given only to who accepted its terms; do so at {page} and {login}.",
        ),
        (
            errors.RevisionNotFoundError,
            f"{what} has no revision '{entry.revision}' on the hub (any more).",
        ),
        (
            errors.RepositoryNotFoundError,
            f"{what}: the hub knows no such repository, or shows it to its members only; if you "
            f"are one, {login}.",
        ),
        (
            errors.RemoteEntryNotFoundError,
            f"{what}: the hub lists a file that it does not have; try later, or leave out the "
            "mirror (HF_ENDPOINT) if there is one.",
        ),
        (errors.HfHubHTTPError, f"{what}: {_refused(error, login)}."),
    )
    for kind, text in kinds:
        if isinstance(error, kind):
            return text
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{what}: the disk is full; make room, or set HF_HOME to a folder on another disk."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{what}: {error.filename} cannot be written: {error.strerror}."
    return (
        f"{what}: the transfer from the hub failed ({_first_line(_root(error))}); check the "
        "network, the proxy and HF_ENDPOINT, and try again: whole files are kept."
    )


def _refused(error: Exception, login: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"the hub refuses access ({status}); {login}"
    return f"the hub answered {status}; try later"


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    lines = [line.strip().rstrip(".:") for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
