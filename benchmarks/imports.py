"""How long `import uer` and `uer --help` take, beside a bare interpreter and `import torch`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.rounds import spread

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import uer": ["-c", "import uer"],
    "uer --help": ["-m", "uer", "--help"],
    "import torch": ["-c", "import torch"],
}


def main(argv: Sequence[str]) -> None:
    """Measure each command several times, in turn."""
    del argv
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(6):
        for name, words in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        print(f"{name:16} {spread(values[1:], 3)} s")
