"""Where a command's result goes, checked before the work is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uer.errors import UserError
from uer.files import probe_place


def require_file_place(path: str, *, flag: str, inputs: Sequence[str]) -> None:
    """Fail now, not hours later, if the result could not be written or would replace an input.

    Args:
        path: the file to write; one that stands there will be replaced.
        flag: its flag, for messages.
        inputs: files that the command reads.

    Raises:
        UserError: the place is a folder, an input, or cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError(f"--{flag} {path} is a folder; name a file.")
    for name in inputs:
        if target.exists() and Path(name).exists() and target.samefile(name):
            raise UserError(f"--{flag} {path} is the file that is read; choose another path.")
    probe_place(target)
