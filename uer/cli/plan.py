"""`uer plan`: which engine, micro-batch and savings a model fits into GPUs with."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import torch

from uer.batch import Batch
from uer.cli.flags import POSITIONAL, Overrides
from uer.cli.inspect import described, sample_batch, sample_facts
from uer.cli.outputs import require_file_place
from uer.cli.starting import settings_of
from uer.errors import ConfigError, UserError
from uer.files import atomic_file
from uer.model import Model
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugins
from uer.training.engines.deepspeed import require_elementwise
from uer.training.freezing import freeze
from uer.training.lora import adapt
from uer.training.machine import Arithmetic
from uer.training.memory import Step, numberless, simulate
from uer.training.plan import (
    MARGIN,
    Choice,
    Memory,
    best,
    choices,
    deepspeed_file,
    memory,
    micro_batch,
)
from uer.training.rates import make_optimizer
from uer.training.settings import Settings

_GIB = 2**30
_SIZES = (2, 6)  # rows of the simulated batches
_PATH = "-"  # nothing is written there


def plan(
    *,
    config: Annotated[
        str, "configuration: a file, a name such as bert/base, or a checkpoint's folder", POSITIONAL
    ],
    gpus: Annotated[int, "devices of the run, one process each"] = 1,
    gpu_memory: Annotated[float, "GiB of a device"] = 80.0,
    output: Annotated[
        str | None, "DeepSpeed configuration to write; then only ZeRO is chosen from"
    ] = None,
    vocab_size: Annotated[
        int | None, "tokens of the vocabulary (default: what the configuration or checkpoint says)"
    ] = None,
    labels_num: Annotated[int, "classes of a classifier"] = 2,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    overrides: Overrides,
) -> None:
    """Say with which engine a model fits into GPUs, and with how large a micro-batch.

    Nothing is allocated. --batch_size is the rows of an update and process, which may be taken in
    several micro-batches. A tenth of the memory is left for what is not counted: the allocator's
    fragments, CUDA, nccl, the kernels' own. --precision is bf16 unless it is given.
    """
    load_plugins(plugin)
    if gpus < 1 or gpu_memory <= 0:
        raise ConfigError([f"--gpus {gpus}, --gpu_memory {gpu_memory:g}: must be positive."])
    if output is not None:
        require_file_place(output, flag="output", inputs=[])
    said = described(config)
    recipe = _recipe(said, overrides)
    given = {"output_model_path": _PATH, "precision": "bf16", **settings_of(config)}
    settings = Settings(**{**given, **recipe.settings})
    facts = sample_facts(recipe, vocab_size, labels_num)
    precision: Arithmetic = "bf16" if settings.precision == "auto" else settings.precision

    def build() -> Model:
        model = recipe.model.build(facts)
        if settings.use_lora:
            adapt(model, settings, _new(model, said))
        if settings.freeze:
            freeze(model, settings.freeze)
        return model

    def make(model: Model) -> torch.optim.Optimizer:
        return make_optimizer(recipe.optimizer.build(), model, settings)

    with torch.device("meta"):
        shape = recipe.model.build(facts)

    @functools.cache
    def batch(rows: int) -> Batch:
        return sample_batch(recipe, facts, rows, shape.packable)

    @functools.cache
    def steps(half: bool, checkpoint: bool, rows: int) -> Step:
        return simulate(
            build,
            make,
            batch(rows),
            precision=precision,
            checkpoint_activations=checkpoint,
            half=half and precision != "fp32",
        )

    ways = list(choices(gpus, elementwise=_elementwise(build, make)))
    if settings.checkpoint_activations:
        ways = [way for way in ways if way.checkpoint]
    needs = {way: memory(way, gpus, steps, _SIZES) for way in ways}
    room = (1 - MARGIN) * gpu_memory * _GIB
    rows = settings.batch_size
    found = [(way, micro_batch(needs[way], room, rows)) for way in ways]
    whole = steps(False, False, _SIZES[0])
    lines = [
        f"{_numbers(whole.weights)} parameters, {_numbers(whole.trained)} of them trained; "
        f"rows of {_width(batch(_SIZES[0]))}, {precision}; {gpus} x {gpu_memory:g} GiB, "
        f"{room / _GIB:.1f} GiB of each planned with",
        "",
        *_table(found, needs),
        "",
    ]
    sys.stdout.write("\n".join(lines))
    chosen = best([one for one in found if output is None or one[0].stage], rows)
    if chosen is None:
        least = min(need.total(1) for need in needs.values()) / _GIB
        raise UserError(
            f"nothing fits: one row takes at least {least:.1f} GiB per process; lower "
            "--seq_length, add --gpus, or train less with --freeze or --use_lora."
        )
    way, size = chosen
    sys.stdout.write("\n".join([*_advice(way, size, rows, gpus, precision, output), ""]))
    if output is not None:
        step = steps(True, way.checkpoint, _SIZES[0])
        content = deepspeed_file(way, step, precision)
        with atomic_file(output) as scratch:
            scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _recipe(config: str | dict[str, Any], overrides: Mapping[str, Any]) -> Recipe:
    recipe = read_recipe(config, overrides)
    if recipe.processor is None or not recipe.model.parts.get("target"):
        raise ConfigError(
            ["a plan needs to know what is trained: choose --data_processor and --target."]
        )
    return recipe


def _new(model: Model, base: str | dict[str, Any]) -> list[str]:
    """Parameters of heads that a checkpoint lacks; a configuration is that of a base with all."""
    known = model.objectives if isinstance(base, str) else base.get("target") or []
    heads = tuple(f"targets.{name}." for name in model.objectives if name not in known)
    return [name for name, _ in model.named_parameters() if heads and name.startswith(heads)]


def _elementwise(
    build: Callable[[], Model], make: Callable[[Model], torch.optim.Optimizer]
) -> bool:
    """Whether ZeRO may cut tensors into pieces for the optimizer."""
    with numberless():
        made = make(build())
    try:
        require_elementwise(made)
    except ConfigError:
        return False
    return True


def _table(found: list[tuple[Choice, int]], needs: dict[Choice, Memory]) -> Iterator[str]:
    """A line per way: GiB of a process with its micro-batch, or with one row if none fits."""
    head = ("way", "weights", "gradients", "optimizer", "activations", "total", "host", "rows")
    yield "{:<38}{:>8}{:>10}{:>10}{:>12}{:>8}{:>8}{:>6}".format(*head)
    for way, size in found:
        need, shown = needs[way], max(size, 1)
        activations = need.total(shown) - need.weights - need.gradients - need.optimizer
        parts = (need.weights, need.gradients, need.optimizer, activations, need.total(shown))
        gib = [f"{part / _GIB:.2f}" for part in (*parts, need.host)]
        line = "{:<38}{:>8}{:>10}{:>10}{:>12}{:>8}{:>8}".format(way.title(), *gib)
        yield f"{line}{size or 'none':>6}"


def _advice(
    way: Choice, size: int, rows: int, gpus: int, precision: Arithmetic, output: str | None
) -> Iterator[str]:
    """The flags to train with."""
    flags = [f"--batch_size {size}", f"--precision {precision}"]
    if rows > size:
        flags.insert(1, f"--accumulation_steps {rows // size}")
    if way.checkpoint:
        flags.append("--checkpoint_activations")
    if way.stage:
        file = output or "FILE"
        start, own = f"deepspeed --num_gpus {gpus}", f"--deepspeed --deepspeed_config {file}"
    else:
        start = f"torchrun --nproc_per_node {gpus}" if gpus > 1 else "python"
        own = f"--engine {way.engine}"
    yield f"advice: {way.title()}"
    yield f"  {start} pretrain.py … {own} {' '.join(flags)}"
    if way.stage and output is None:
        yield "  (--output FILE writes DeepSpeed's configuration)"


def _width(batch: Batch) -> str:
    """Tokens of a row, of every side."""
    return " + ".join(str(ids.shape[1]) for name, ids in batch.items() if name.endswith(".ids"))


def _numbers(size: int) -> str:
    return f"{size // 4:,}"
