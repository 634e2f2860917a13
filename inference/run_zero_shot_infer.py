"""Classify images by names of classes: `python inference/run_zero_shot_infer.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("zero-shot", sys.argv[1:], "run_zero_shot_infer.py"))
