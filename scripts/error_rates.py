"""Word and character error rate of predicted texts: `python -m scripts.error_rates TABLE TEXTS`.

TABLE has a column ``text``; TEXTS holds one text per line for its rows, in the same order.
"""

from __future__ import annotations

import sys
from pathlib import Path

from uer.data.table import read_table
from uer.tasks._transcription import error_rates


def main(table: str, texts: str) -> None:
    """Print both rates.

    Raises:
        SystemExit: the files do not belong together.
    """
    wanted = read_table(table, ["text"]).column("text")
    said = Path(texts).read_text(encoding="utf-8").split("\n")[:-1]
    if len(said) != len(wanted):
        raise SystemExit(f"{table} has {len(wanted)} rows, {texts} has {len(said)} lines.")
    words, letters = error_rates(wanted, said)
    print(f"WER {words:.4f}, CER {letters:.4f} ({len(wanted)} rows)")


if __name__ == "__main__":
    main(*sys.argv[1:])
