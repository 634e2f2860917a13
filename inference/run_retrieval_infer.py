"""Find images by texts and texts by images: `python inference/run_retrieval_infer.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("retrieve", sys.argv[1:], "run_retrieval_infer.py"))
