"""What could not be read: named, and counted by reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from uer.data.media.references import Unread
from uer.errors import UserError

_log = logging.getLogger(__name__)

_NAMED = 5  # so many are named on the console for each reason


class MediaReport:
    """The media of a run that could not be read, each once.

    Args:
        path: a table ``path<TAB>reason<TAB>detail`` to write them to as they are found; None: only
            the first of each reason are named, on the console.

    Raises:
        UserError: the table cannot be written.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.counts: Counter[str] = Counter()
        self._seen: set[str] = set()
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text("path\treason\tdetail\n", encoding="utf-8")
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror}.") from error

    def add(self, unread: Iterable[Unread]) -> None:
        """Note what could not be read; what is known already is passed over."""
        new = [one for one in unread if one.name not in self._seen]
        for one in new:
            if one.name in self._seen:  # twice in one batch
                continue
            self._seen.add(one.name)
            self.counts[one.reason] += 1
            if self.counts[one.reason] <= _NAMED:
                detail = f" ({one.detail})" if one.detail else ""
                _log.warning("left out: %s: %s%s", one.name, one.reason, detail)
        if new and self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(_line(one) for one in new)

    def line(self) -> str:
        """One sentence for the log; empty where everything could be read."""
        if not self.counts:
            return ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
        where = f"; named in {self.path}" if self.path else ""
        return f"{sum(self.counts.values()):,} media were left out: {reasons}{where}."


def _line(unread: Unread) -> str:
    """A row of the table; nothing in a name may break it."""
    fields = (" ".join(field.split()) for field in unread)
    return "\t".join(fields) + "\n"
