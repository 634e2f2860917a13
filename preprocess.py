"""Turn a corpus into a data set: `python preprocess.py --help`."""

import sys

from uer.cli.main import run

if __name__ == "__main__":
    sys.exit(run("preprocess", sys.argv[1:], "preprocess.py"))
