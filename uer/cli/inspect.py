"""`uer inspect`: a model's modules, parameters, work and memory, without building its weights."""

from __future__ import annotations

import sys
import tempfile
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from uer.batch import Batch
from uer.cli.flags import POSITIONAL, Overrides
from uer.data.formats import FORMATS
from uer.data.media.collect import MEASURES
from uer.data.media.references import MediaColumn, Reference
from uer.data.media.rows import MEDIA
from uer.data.text_stream import TextStream
from uer.errors import ConfigError
from uer.interop.huggingface.folders import is_foreign
from uer.interop.huggingface.source import CONFIG
from uer.interop.pretrained import checkpoint_config, checkpoint_tokenizer
from uer.model import Model
from uer.processors.base import Processor
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugins
from uer.training.checkpoint import MANIFEST
from uer.training.cost import Cost, cost

_SPECIAL = {"pad_id": 0, "unk_id": 1, "cls_id": 2, "sep_id": 3, "mask_id": 4}
_SENTINELS = 100  # the last tokens of the vocabulary, as T5 has them
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

    Nothing is allocated, so any size can be looked at. The batch holds random text or plain images
    and sounds, made into instances by the configuration's own data processor, so as much is
    predicted as in training.
    """
    load_plugins(plugin)
    for name, value in (("batch_size", batch_size), ("labels_num", labels_num), ("depth", depth)):
        if value < 1:
            raise ConfigError([f"--{name} {value}: must be at least 1."])
    recipe = read_recipe(described(config), overrides)
    facts = sample_facts(recipe, vocab_size, labels_num)
    with torch.device("meta"):
        model = recipe.model.build(facts)
    sys.stdout.write("\n".join([*_table(model, depth), "", *_totals(model), ""]))
    body = recipe.processor is None or not model.objectives
    if body:
        sys.stdout.write("No data processor or no target; so much takes the rest of it:\n")
        batch = _rows_of_body(model, recipe.config, batch_size)
    else:
        batch = sample_batch(recipe, facts, batch_size, model.packable)
    sys.stdout.write("\n".join([*_costs(model, batch, body=body), ""]))


def described(config: str) -> str | dict[str, Any]:
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


def sample_facts(recipe: Recipe, vocab_size: int | None, labels_num: int) -> dict[str, Any]:
    """What the data would tell a model.

    Args:
        recipe: of the model.
        vocab_size: tokens of the vocabulary; None: as the configuration or checkpoint says.
        labels_num: classes of a classifier.

    Raises:
        ConfigError: the size of the vocabulary is not known, or too small.
    """
    if not _reads_text(recipe):
        return {"labels_num": labels_num, **recipe.facts}
    about = recipe.config.get("about") or {}
    size = vocab_size or recipe.facts.get("vocab_size") or about.get("vocab_size")
    if size is None:
        raise ConfigError(["--vocab_size is needed: the configuration does not say it."])
    if size <= len(_SPECIAL):
        raise ConfigError([f"--vocab_size {size}: must be more than {len(_SPECIAL)}."])
    sentinels = list(range(size - min(_SENTINELS, size // 4), size))
    known = {
        "labels_num": labels_num,
        **_SPECIAL,
        "sentinel_ids": sentinels,
        "special_ids": [*sorted(_SPECIAL.values()), *sentinels],
    }
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

_LENGTH = 128  # of a row, where no data processor says it
_RATE = 16_000  # samples of a sound per second
_IN_TWO = ("pairs", "instructions", "labelled")  # corpora of two texts a document


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
    """Documents of sentences, which every text processor reads."""

    sides: Mapping[str, _Side]
    columns: Mapping[str, np.ndarray]
    media: Mapping[str, MediaColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["label"])


def _reads_text(recipe: Recipe) -> bool:
    if recipe.processor is not None:
        return FORMATS[recipe.processor.part.corpus].has_text
    embedding = recipe.config.get("embedding")
    return not (isinstance(embedding, list) and "patch" in embedding)


def sample_batch(
    recipe: Recipe, facts: Mapping[str, Any], batch_size: int, packable: bool
) -> Batch:
    """Random text and media, made into instances by the recipe's own data processor."""
    assert recipe.processor is not None
    processor = recipe.processor.build(facts)
    fields = FORMATS[processor.corpus].fields
    documents = 4 * batch_size
    sides = _text(processor, facts, documents) if _reads_text(recipe) else {}
    columns = {"label": np.zeros(documents, np.int64)}
    with tempfile.TemporaryDirectory() as folder:
        media = {
            name: MediaColumn.of(folder, [Reference(_written(name, Path(folder)))] * documents)
            for name in MEDIA
            if name in fields
        }
        for name, column in media.items():
            measured = MEASURES[name](column[0]) if name in MEASURES else {}
            columns |= {f"{name}_{key}": np.full(documents, v) for key, v in measured.items()}
        stream = TextStream(
            _Store(sides, columns, media),
            processor,
            batch_size=batch_size,
            seq_length=processor.seq_length,
            packing="documents" if packable and processor.packable else "off",
            seed=0,
        )
        return stream.next()


def _written(kind: str, folder: Path) -> str:
    """An image, or a sound of one second; its name in the folder."""
    if kind == "image":
        (folder / "image.ppm").write_bytes(b"P6 8 8 255\n" + bytes(range(192)))
        return "image.ppm"
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        noise = np.random.default_rng(0).integers(-1000, 1000, _RATE)
        file.writeframes(noise.astype("<i2").tobytes())
    return "sound.wav"


def _text(processor: Processor, facts: Mapping[str, Any], documents: int) -> dict[str, _Side]:
    # Two texts that belong together are half a row long each, a sentence an eighth.
    sentences, share = (2, 2) if processor.corpus in _IN_TWO else (32, 8)
    if FORMATS[processor.corpus].fields:
        sentences, share = 1, 1
    length = max(1, (processor.seq_length - 3) // share)
    random = np.random.default_rng(0)
    ordinary = facts["sentinel_ids"][0] if facts["sentinel_ids"] else facts["vocab_size"]
    tokens = random.integers(len(_SPECIAL), ordinary, sentences * documents * length)
    offsets = np.arange(sentences * documents + 1)
    side = _Side(tokens.astype(np.uint32), offsets * length, offsets[::sentences])
    return {"src": side}


def _rows_of_body(model: Model, config: Mapping[str, Any], batch_size: int) -> Batch:
    """Full rows for every side that the model reads, without labels."""
    sizes = [config.get(key) for key in ("image_height", "image_width", "patch_size")]
    if "patch" in (config.get("embedding") or ()) and None not in sizes:
        height, width, patch = map(int, sizes)  # type: ignore[arg-type]
        image = torch.zeros(batch_size, int(config.get("channels_num", 3)), height, width)
        patches = (height // patch) * (width // patch)
        return Batch({"src.image": image, "src.length": torch.full((batch_size,), patches)})
    streams = len(model.embedding.output_sizes)
    sides = [f"src.{number}" for number in range(streams)] or ["src"]
    sides += ["tgt"] if model.tgt_embedding is not None else []
    shape = (batch_size, min(_LENGTH, model.max_seq_length or _LENGTH))
    ids = {f"{side}.ids": torch.zeros(shape, dtype=torch.int64) for side in sides}
    lengths = {f"{side}.length": torch.full(shape[:1], shape[1]) for side in sides}
    return Batch({**ids, **lengths})


def _costs(model: Model, batch: Batch, *, body: bool) -> list[str]:
    needed = cost(model, batch, body=body)
    held = needed.activations
    weights = _BYTES * _count(model)
    trained = _BYTES * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return [
        f"batch       {_rows(batch)}",
        f"work        {_work(needed, batch)}, forward + backward",
        f"memory      {_mib(weights + 3 * trained + held)} in float32:",
        f"            {_mib(weights)} weights + {_mib(trained)} gradients + {_mib(2 * trained)} "
        f"AdamW + about {_mib(held)} activations",
        "            (activations: what the innermost modules return, for the backward pass)",
    ]


def _rows(batch: Batch) -> str:
    """How wide the rows of every side are, and how much of them is text."""
    kinds = (".ids", ".image", ".frames", ".wave")
    shapes = [value.shape for name, value in batch.items() if name.endswith(kinds)]
    widths = " + ".join(" x ".join(map(str, shape[1:])) for shape in shapes)
    return f"{shapes[0][0]} rows of {widths}, {batch.tokens():,} real tokens"


def _work(needed: Cost, batch: Batch) -> str:
    """Per token; with a decoder, what a token costs depends on the side it stands on."""
    target = int(batch["tgt.length"].sum()) if "tgt.length" in batch else 0
    source = batch.tokens() - target
    if not target:
        return f"{needed.flops / source:,.0f} floating-point operations a token"
    encoder = needed.flops * needed.encoder_share
    return (
        f"{encoder / source:,.0f} floating-point operations a source token, "
        f"{(needed.flops - encoder) / target:,.0f} a target token"
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
