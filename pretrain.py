"""Pre-train a model on a data set: `python pretrain.py --help`."""

import sys

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("pretrain", sys.argv[1:], "pretrain.py"))
