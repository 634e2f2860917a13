"""`uer inspect`: a model's modules, parameters, work and memory, without building its weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from uer.batch import Batch
from uer.cli.flags import POSITIONAL, Overrides
from uer.data.stream import TextStream
from uer.errors import ConfigError
from uer.interop.huggingface.folders import is_foreign
from uer.interop.huggingface.source import CONFIG
from uer.interop.pretrained import checkpoint_config, checkpoint_tokenizer
from uer.model import Model
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugin
from uer.training.checkpoint import MANIFEST
from uer.training.cost import cost

_SPECIAL = {"pad_id": 0, "unk_id": 1, "cls_id": 2, "sep_id": 3, "mask_id": 4}
_BYTES = 4  # of a float32


def inspect_model(
    *,
    config: Annotated[
        str, "configuration: a file, a name such as bert/base, or a checkpoint's folder", POSITIONAL
    ],
    vocab_size: Annotated[
        int | None, "tokens of the vocabulary (default: what the configuration or checkpoint says)"
    ] = None,
    labels_num: Annotated[int, "classes of a classifier"] = 2,
    batch_size: Annotated[int, "rows of a batch"] = 32,
    depth: Annotated[int, "levels of modules to list"] = 3,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    overrides: Overrides,
) -> None:
    """Show the modules and parameters of a model, what a training step computes and holds.

    Nothing is allocated, so any size can be looked at. The batch holds random text, made into
    instances by the configuration's own data processor, so as much is predicted as in training.
    """
    for file in plugin or ():
        load_plugin(file)
    for name, value in (("batch_size", batch_size), ("labels_num", labels_num), ("depth", depth)):
        if value < 1:
            raise ConfigError([f"--{name} {value}: must be at least 1."])
    recipe = read_recipe(_described(config), overrides)
    facts = _facts(recipe, vocab_size, labels_num)
    with torch.device("meta"):
        model = recipe.model.build(facts)
    sys.stdout.write("\n".join([*_table(model, depth), "", *_totals(model), ""]))
    if recipe.processor is None or not model.objectives:
        sys.stdout.write("no data processor or no target: work and memory are not known.\n")
        return
    batch = _text(recipe, facts, batch_size, model.packable)
    sys.stdout.write("\n".join([*_costs(model, batch), ""]))


def _described(config: str) -> str | dict[str, Any]:
    """What to read: of a checkpoint's folder, whoever wrote it, what it says about itself."""
    folder = Path(config)
    if folder.name == CONFIG and is_foreign(folder.parent):
        folder = folder.parent
    if not is_foreign(folder) and not (folder / MANIFEST).is_file():
        return config
    found = checkpoint_config(folder)
    facts = found.get("facts") or {}
    if "vocab_size" not in facts:
        tokenizer = checkpoint_tokenizer(folder)
        facts = {**facts, "vocab_size": tokenizer.vocab_size if tokenizer else None}
    return {**found, "facts": facts}


def _facts(recipe: Recipe, vocab_size: int | None, labels_num: int) -> dict[str, Any]:
    about = recipe.config.get("about") or {}
    size = vocab_size or recipe.facts.get("vocab_size") or about.get("vocab_size")
    if size is None:
        raise ConfigError(["--vocab_size is needed: the configuration does not say it."])
    if size <= len(_SPECIAL):
        raise ConfigError([f"--vocab_size {size}: must be more than {len(_SPECIAL)}."])
    known = {"labels_num": labels_num, **_SPECIAL, "special_ids": sorted(_SPECIAL.values())}
    return {**known, **recipe.facts, "vocab_size": size}


# ------------------------------------------------------------------------------- parameters


def _table(model: Model, depth: int) -> list[str]:
    """A line per module: its place, class and parameters, shared ones at every place."""
    rows = [
        ("  " * level + name, type(module).__name__, f"{_count(module):,}")
        for level, name, module in _modules(model, 0, depth)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]


def _modules(module: nn.Module, level: int, depth: int) -> Iterator[tuple[int, str, nn.Module]]:
    """The modules down to a depth that hold parameters."""
    for name, child in module.named_children():
        if level < depth and _count(child):
            yield level, name, child
            yield from _modules(child, level + 1, depth)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _totals(model: Model) -> list[str]:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return [f"parameters  {_count(model):,} (shared ones once), {trained:,} of them trained"]


# ------------------------------------------------------------------------------ work, memory


@dataclass
class _Side:
    """Random text, as the data path wants it: every token starts a word."""

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    def starts(self, indices: np.ndarray) -> np.ndarray:
        return np.ones(indices.shape, bool)


@dataclass
class _Store:
    """Documents of two sentences, which every text processor reads."""

    sides: Mapping[str, _Side]
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.sides["src"].documents) - 1


def _text(recipe: Recipe, facts: Mapping[str, Any], batch_size: int, packable: bool) -> Batch:
    assert recipe.processor is not None
    processor = recipe.processor.build(facts)
    documents, sentence = 4 * batch_size, max(2, processor.seq_length // 2)
    random = np.random.default_rng(0)
    tokens = random.integers(len(_SPECIAL), facts["vocab_size"], 2 * documents * sentence)
    offsets = np.arange(2 * documents + 1)
    side = _Side(tokens.astype(np.uint32), offsets * sentence, offsets[::2])
    stream = TextStream(
        _Store({"src": side}, {"label": np.zeros(documents, np.int64)}),
        processor,
        batch_size=batch_size,
        seq_length=processor.seq_length,
        packing="documents" if packable else "off",
        seed=0,
    )
    return stream.next()


def _costs(model: Model, batch: Batch) -> list[str]:
    tokens, rows = batch.tokens(), batch["src.ids"].shape
    flops, held = cost(model, batch)
    weights = _BYTES * _count(model)
    trained = _BYTES * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return [
        f"batch       {rows[0]} rows of {rows[1]}, {tokens:,} real tokens",
        f"work        {flops / tokens:,.0f} floating-point operations a token, forward + backward",
        f"memory      {_mib(weights + 3 * trained + held)} in float32:",
        f"            {_mib(weights)} weights + {_mib(trained)} gradients + {_mib(2 * trained)} "
        f"AdamW + about {_mib(held)} activations",
        "            (activations: what the innermost modules return, for the backward pass)",
    ]


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
