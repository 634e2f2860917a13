"""Paint images for texts: `python inference/generate_talk2face.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("paint", sys.argv[1:], "generate_talk2face.py"))
