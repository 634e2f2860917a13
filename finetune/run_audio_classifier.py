"""Train a classifier of sounds: `python finetune/run_audio_classifier.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("finetune", ["audio_classifier", *sys.argv[1:]], "run_audio_classifier.py"))
