"""Run on every rank: `follow.py` with models that have teachers, and with views of each row."""

from __future__ import annotations

import sys

import follow
from support import TINY

from uer.batch import Batch

_BODY = {"encoder": "transformer", **TINY, "embedding": ["word", "pos"]}
_TEACHER = {"copy": "model", "momentum": 0.9}
follow.MODELS |= {
    "dino": {
        **_BODY,
        "pooling": "mean",
        "target": "dino",
        "prototypes_num": 16,
        "projection_hidden_size": 16,
        "projection_size": 8,
        "teacher": _TEACHER,
    },
    "data2vec": {
        **_BODY,
        "target": [{"data2vec": {"name": "mlm"}}],
        "top_layers": 2,
        "teacher": _TEACHER,
    },
}
_rows_of = follow.rows_of


def _with_views(*arguments):
    """The target side, which these models do not read, is a view of each row."""
    batch = _rows_of(*arguments)
    views = {f"view.0.{k[4:]}": v for k, v in batch.items() if k.startswith("tgt.")}
    return Batch({**batch, **views})


follow.rows_of = _with_views

if __name__ == "__main__":
    follow.main(sys.argv[1:])
