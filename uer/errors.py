"""What goes wrong because of what a user gave us.

Every message is one sentence (or a list of them) with the place, the value and the way out.
Commands print it and exit with status 2; a traceback is for our own mistakes only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """Something the user can mend; the message says where, what and how."""


class ConfigError(UserError):
    """A configuration that cannot be built. Holds *all* problems found.

    Args:
        problems: one sentence each, starting with the path of the key.
        source: the file the configuration came from, when there is one.
    """

    def __init__(self, problems: Iterable[str], source: str | Path | None = None) -> None:
        self.problems = list(problems)
        head = f"{source}: " if source else ""
        if len(self.problems) == 1:
            super().__init__(head + self.problems[0])
        else:
            lines = "".join(f"\n  - {problem}" for problem in self.problems)
            super().__init__(f"{head}{len(self.problems)} problems:{lines}")


class DataError(UserError):
    """A corpus, table, store or batch that is not what it should be.

    Args:
        message: what is wrong and the way out.
        path: the file.
        line: its line, counted from 1.
    """

    def __init__(
        self, message: str, path: str | Path | None = None, line: int | None = None
    ) -> None:
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(place + message)


class CheckpointError(UserError):
    """A checkpoint that is incomplete or does not fit the model."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: with the nearest known one, or a full stop."""
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else "."
