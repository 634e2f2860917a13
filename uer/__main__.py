"""`python -m uer` is the console script ``uer``."""

from uer.cli.main import console

console()
