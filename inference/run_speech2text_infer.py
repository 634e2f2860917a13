"""Write down speech with a trained model: `python inference/run_speech2text_infer.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("infer", ["speech2text", *sys.argv[1:]], "run_speech2text_infer.py"))
