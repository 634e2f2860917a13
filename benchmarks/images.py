"""Images per second against torchvision's ImageFolder and torch's DataLoader.

Both read the same JPEG files from class folders, in random order, with the same transforms
(torchvision's v2), batch size and number of workers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import Side, Step, in_turn, spread

_CLASSES = 10
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main(argv: list[str]) -> None:
    """`python -m benchmarks images`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks images", description=__doc__)
    parser.add_argument("--folder", help="class folders of images (default: made on the spot)")
    parser.add_argument("--images", type=int, default=1000, help="how many to make")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=20, help="batches of a round")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or made
        if given.folder is None:
            make_images(Path(made), given.images)
        arguments = (folder, given.workers, given.batch_size)
        sides = {
            "ours": Side(ours, *arguments, workers=True),
            "torchvision": Side(theirs, *arguments, workers=True),
        }
        rounds = in_turn(sides, rounds=given.rounds, updates=given.batches)
        memory = {name: side.finish() for name, side in sides.items()}
    for name, some in rounds.items():
        speeds = [one.speed for one in some]
        print(f"{name:12} {spread(speeds, 0)} images/s, {memory[name]:,.0f} MB in its process")
    ratios = [a.speed / b.speed for a, b in zip(rounds["ours"], rounds["torchvision"], strict=True)]
    print(f"ours / torchvision: {spread(ratios)}")


def make_images(folder: Path, count: int) -> None:
    """JPEG files of about the size and smoothness of photographs."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (24, 32, 3), np.uint8)
        fine = random.integers(0, 12, (375, 500, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        photo = Image.fromarray(np.asarray(smooth) // 2 + fine)
        path = folder / f"class_{number % _CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.save(path, quality=90)


class _Batches:
    """A step is the next batch."""

    def __init__(self, batches: Iterator[int]) -> None:
        self._batches = batches

    def __call__(self) -> int:
        return next(self._batches)


def ours(folder: str, workers: int, batch_size: int) -> Step:
    """The data path of this project."""
    from uer.builder import build
    from uer.data.loader import loaded
    from uer.data.media.collect import Collection
    from uer.data.media.references import MediaColumn
    from uer.data.media.report import MediaReport
    from uer.data.store import Store
    from uer.data.text_stream import TextStream
    from uer.processors.base import Processor

    rows = Collection.of([folder], "labelled_images", MediaReport())
    pieces = list(rows.pieces())
    references = [one for piece in pieces for one in piece.media["image"]]
    labels = np.concatenate([piece.columns["label"] for piece in pieces])
    store = Store.in_memory(
        None, [], {"label": labels}, {"image": MediaColumn.of(rows.root, references)}
    )
    processor: Any = build(
        Processor,
        "vit",
        image_preprocess=[
            "random_resized_crop",
            "horizontal_flip",
            {"normalize": {"statistics": "imagenet"}},
        ],
    )
    stream = loaded(
        TextStream(
            store,
            processor,
            batch_size=batch_size,
            seq_length=processor.seq_length,
            packing="off",
            seed=1,
        ),
        workers,
    )

    def batches() -> Iterator[int]:
        while True:
            batch = stream.next()
            assert batch["src.image"].shape[1:] == (3, 224, 224)
            yield len(batch["labels.cls.value"])

    return _Batches(batches())


def theirs(folder: str, workers: int, batch_size: int) -> Step:
    """torchvision.datasets.ImageFolder and torch.utils.data.DataLoader."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomResizedCrop(224),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _DEVIATION),
        ]
    )
    loader = DataLoader(
        ImageFolder(folder, transform),
        batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
    )

    def batches() -> Iterator[int]:
        while True:
            for images, labels in loader:
                assert images.shape[1:] == (3, 224, 224)
                yield len(labels)

    return _Batches(batches())
