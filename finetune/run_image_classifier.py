"""Train an image classifier: `python finetune/run_image_classifier.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("finetune", ["image_classifier", *sys.argv[1:]], "run_image_classifier.py"))
