"""How well the vectors of a model separate classes: nearest neighbours, without any training.

The state of every image (`--pooling`) is compared with those of the training images; the nearest
`--neighbours` vote, each with the exponential of its cosine by `--temperature`
(https://arxiv.org/abs/1805.01978). Tables have the columns ``label`` and ``path``, as for
`finetune/run_image_classifier.py`::

    python -m scripts.image_neighbours --load_model_path mae-20000 \\
        --train_path train.tsv --test_path test.tsv
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.cli import flags
from uer.cli.loading import Loading
from uer.cli.tasks import build_processor, make_store, task_recipe
from uer.data.bucket_stream import BucketStream
from uer.errors import ConfigError, UserError
from uer.glossary import Pooling
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.layers.pooling import pool
from uer.model import Model
from uer.registry import load_plugins
from uer.tasks.base import Examples
from uer.tasks.image_classifier import ImageClassifier
from uer.training import machine
from uer.training.predict import predict


class Vectors(ImageClassifier):
    """The task whose output are the pooled states.

    Args:
        pooling: how the states of an image become one vector.
    """

    def __init__(self, pooling: str, media_root: str | None) -> None:
        super().__init__(media_root=media_root)
        self.pooling = pooling

    def predict(self, model: Model, batch: Batch) -> torch.Tensor:
        """[D, H] of length 1."""
        return F.normalize(pool(model.states(batch), self.pooling).float(), dim=-1)


def neighbours(
    *,
    load_model_path: Annotated[str, "checkpoint whose vectors are compared"],
    train_path: Annotated[str, "images with labels that vote"],
    test_path: Annotated[str, "images with labels that are classified"],
    neighbours: Annotated[int, "images that vote"] = 20,
    temperature: Annotated[float, "cosines are divided by it before the exponential"] = 0.07,
    pooling: Pooling = "first",
    media_root: Annotated[str | None, "folder that the paths are relative to"] = None,
    batch_size: Annotated[int, "images of a batch"] = 64,
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto",
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    loading: Annotated[dict[str, Any], Loading],
    overrides: flags.Overrides,
) -> None:
    """Classify images by their nearest neighbours among the training images."""
    load_plugins(plugin)
    if neighbours < 1 or temperature <= 0:
        raise ConfigError(["--neighbours and --temperature must be positive."])
    reading, task = Loading(**loading), Vectors(pooling, media_root)
    dialect = dialect_of(load_model_path)
    recipe = task_recipe(task, choose_config(None, load_model_path), overrides, dialect)
    prepared = machine.prepare(device, "auto", None)
    train = task.read(train_path, {}, labelled=True)
    facts = {**recipe.facts, **task.facts(train)}
    test = task.read(test_path, facts, labelled=True)
    model = recipe.model.build(facts).to(prepared.device)
    missing = [
        name
        for name in load_pretrained(model, load_model_path, allow_partial=True).missing
        if not name.startswith("targets.")
    ]
    if missing:
        raise UserError(f"{load_model_path} lacks {', '.join(missing[:3])}; nothing is compared.")
    report = reading.report()

    def vectors(examples: Examples) -> torch.Tensor:
        stream = BucketStream(
            make_store(None, examples),
            build_processor(recipe, facts),
            batch_size=batch_size,
            seed=0,
        )
        return predict(task, model, reading.stream(stream, report))

    votes = vote(
        vectors(train),
        torch.as_tensor(train.columns["label"]),
        vectors(test),
        facts,
        neighbours=neighbours,
        temperature=temperature,
    )
    for line in task.summary(votes, test):
        sys.stdout.write(f"{line}\n")
    if report.counts:
        sys.stdout.write(f"{report.line()}\n")


def vote(
    known: torch.Tensor,
    labels: torch.Tensor,
    asked: torch.Tensor,
    facts: Mapping[str, Any],
    *,
    neighbours: int,
    temperature: float,
) -> torch.Tensor:
    """[n, C] the votes that each image gets for every class.

    Args:
        known: [N, H] vectors of length 1 of the images that vote; those that are not numbers do
            not.
        labels: [N] their classes, or [N, C] shares.
        asked: [n, H] vectors of the images that are classified.
        facts: ``labels_num``: C.
        neighbours: how many vote.
        temperature: of their weights.
    """
    there = ~known.isnan().any(-1)
    known, labels = known[there], labels[there]
    if labels.ndim == 2:  # of soft labels the largest counts
        labels = labels.argmax(-1)
    votes = []
    for some in asked.split(1024):
        near = (some @ known.mT).topk(min(neighbours, len(known)))
        weight = (near.values / temperature).exp()
        of_class = torch.zeros(len(some), facts["labels_num"])
        votes.append(of_class.scatter_add(1, labels[near.indices], weight))
    return torch.cat(votes)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        flags.call(neighbours, sys.argv[1:], "image_neighbours")
    except UserError as error:
        sys.exit(f"image_neighbours: {error}")
