"""Tables of labelled texts: tab-separated, column names in the first line, no quoting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uer.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Args:
        path: the file, for messages.
        columns: column names, in the order of the file.
        rows: one list of fields per row, as many as columns.
        lines: the line each row stands in, counted from 1.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def column(self, name: str) -> list[str]:
        """All fields of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def integers(self, name: str, *, below: int | None = None) -> list[int]:
        """A column of numbers 0, 1, 2, …

        Args:
            name: the column.
            below: the numbers are smaller than this.

        Raises:
            DataError: a field is none, with its line.
        """
        found = []
        for line, field in zip(self.lines, self.column(name), strict=True):
            if not (field.isascii() and field.isdigit()):
                raise DataError(
                    f"the {name} {field!r} is no number; write 0, 1, 2, … here.", self.path, line
                )
            if below is not None and int(field) >= below:
                raise DataError(
                    f"the {name} {field} is outside 0 … {below - 1}; the model knows {below} "
                    "classes, counted in its training data.",
                    self.path,
                    line,
                )
            found.append(int(field))
        return found


def read_table(path: str | Path, required: Sequence[str]) -> Table:
    """Read a table.

    Fields beyond the named columns are an error, missing ones at the end too. Empty lines are
    passed over; only in a table of one column, an empty line is a row with an empty text, so that
    predictions stay beside their rows.

    Args:
        path: the file.
        required: columns it must have.

    Raises:
        DataError: it is missing, not UTF-8, empty, lacks a column, or a row does not fit.
    """
    file = Path(path)
    lines = _lines(file)
    header = next((line for line in lines if line[1].strip()), None)
    if header is None:
        raise DataError("the table is empty.", file)
    columns = header[1].split("\t")
    for name in required:
        if name not in columns:
            raise DataError(
                f"the table has no column '{name}'{did_you_mean(name, columns)} Its columns are "
                f"{', '.join(map(repr, columns))}; the first line names them, with tabs between.",
                file,
                header[0],
            )
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"two columns are called '{name}'; rename one.", file, header[0])
    rows, numbers = [], []
    for number, line in lines:
        if not line and len(columns) > 1:
            continue
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise DataError(
                f"this row has {len(fields)} fields, but the table has {len(columns)} columns.",
                file,
                number,
            )
        rows.append(fields)
        numbers.append(number)
    if not rows:
        raise DataError("the table has column names, but no row.", file)
    return Table(file, columns, rows, numbers)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"the table cannot be read: {error.strerror}.", file) from error
    content = content.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError("this line is not UTF-8; convert the file.", file, number) from error
        yield number, line
