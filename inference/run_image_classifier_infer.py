"""Classify images with a trained model: `python inference/run_image_classifier_infer.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("infer", ["image_classifier", *sys.argv[1:]], "run_image_classifier_infer.py"))
