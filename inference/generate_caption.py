"""Write captions for the regions of images: `python inference/generate_caption.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("caption", sys.argv[1:], "generate_caption.py"))
