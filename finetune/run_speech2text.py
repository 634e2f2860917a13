"""Train a model that writes down speech: `python finetune/run_speech2text.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("finetune", ["speech2text", *sys.argv[1:]], "run_speech2text.py"))
