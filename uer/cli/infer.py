"""`uer infer TASK`: predict with a trained model; `inference/run_<task>_infer.py` are scripts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from uer.cli.flags import POSITIONAL, Overrides
from uer.cli.loading import Loading, reads_text
from uer.cli.outputs import require_file_place
from uer.cli.tasks import (
    build_processor,
    make_store,
    plan_task,
    task_recipe,
)
from uer.cli.tokenizer import choose_tokenizer, split_tokenizer
from uer.data.bucket_stream import BucketStream
from uer.errors import UserError
from uer.interop.legacy.checkpoint import is_legacy_checkpoint
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugins
from uer.tasks.base import Task
from uer.training import machine
from uer.training.predict import predict
from uer.training.settings import Precision
from uer.zoo.resolve import resolve

_log = logging.getLogger(__name__)


def infer(
    *,
    task: Annotated[str, "name of the task", POSITIONAL],
    load_model_path: Annotated[str, "checkpoint of the task"],
    test_path: Annotated[str, "rows to predict"],
    prediction_path: Annotated[str, "file to write predictions to"],
    config_path: Annotated[str | None, "configuration (default: the checkpoint's)"] = None,
    tokenizer: Annotated[
        str | None, "name of the tokenizer, with its flags (default: the checkpoint's, else bert)"
    ] = None,
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None,
    labels_num: Annotated[int | None, "classes (default: what the checkpoint says)"] = None,
    batch_size: Annotated[int, "rows of a batch"] = 64,
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto",
    precision: Annotated[Precision, "arithmetic of the forward pass"] = "auto",
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    loading: Annotated[dict[str, Any], Loading],
    overrides: Overrides,
) -> None:
    """Predict with a trained model.

    A checkpoint of ours carries configuration, tokenizer and labels, so --load_model_path is
    enough. For a checkpoint of the predecessors give --config_path, --vocab_path and --labels_num.
    """
    load_plugins(plugin)
    if batch_size < 1:
        raise UserError(f"--batch_size {batch_size}: must be at least 1.")
    require_file_place(prediction_path, flag="prediction_path", inputs=[test_path])
    load_model_path = resolve(load_model_path)
    described, overrides = split_tokenizer(overrides)
    job, overrides = plan_task(task, overrides)
    recipe = _recipe(job, task, load_model_path, config_path, overrides)
    prepared = machine.prepare(device, precision, threads)
    _log.info(prepared.line())
    reading = Loading(**loading)
    facts = _labels(recipe.facts, labels_num, load_model_path)
    made = None
    if reads_text(job.processor):
        made = choose_tokenizer(tokenizer, special_tokens_path, described, load_model_path)
        job.tokenizer = made
        facts = {**made.facts(), **facts}
    model = recipe.model.build(facts).to(prepared.device)
    report = load_pretrained(model, load_model_path)
    if report.missing:
        raise UserError(
            f"{load_model_path} holds no trained head for the task '{task}' "
            f"({report.line()[:-1]}); fine-tune it first."
        )
    examples = job.read(test_path, facts, labelled=False)
    media_report = reading.report()
    stream = BucketStream(
        make_store(made, examples), build_processor(recipe, facts), batch_size=batch_size, seed=0
    )
    outputs = predict(job, model, reading.stream(stream, media_report))
    job.write(outputs, prediction_path)
    _log.info("%s: %d predictions.", prediction_path, len(examples))
    media_report.log()


def _recipe(
    task: Task, name: str, checkpoint: str, config_path: str | None, overrides: Mapping[str, Any]
) -> Recipe:
    """The checkpoint's own recipe, or that of a configuration with the task's head."""
    if is_legacy_checkpoint(checkpoint):
        if config_path is None:
            raise UserError(
                f"{checkpoint} is a checkpoint of the predecessors, which says nothing about its "
                "model; give --config_path."
            )
        return task_recipe(task, config_path, overrides, dialect_of(checkpoint))
    recipe = read_recipe(choose_config(None, checkpoint), overrides)
    trained_for = recipe.config.get("task")
    if trained_for != name and not (trained_for is None and _is_for(task, recipe)):
        what = f"was trained for the task '{trained_for}'" if trained_for else "is pre-trained only"
        raise UserError(f"{checkpoint} {what}, not for '{name}'; fine-tune it first.")
    if config_path is not None:
        _log.info("--config_path has no effect: the checkpoint carries its configuration.")
    return recipe


def _is_for(task: Task, recipe: Recipe) -> bool:
    """Pre-training asked for just what the task asks for."""
    heads = recipe.model.parts.get("target") or []
    names = [head.name for head in heads] if isinstance(heads, list) else [heads.name]
    processor = recipe.processor
    return names == [task.target] and processor is not None and processor.name == task.processor


def _labels(known: Mapping[str, Any], given: int | None, checkpoint: str) -> dict[str, Any]:
    if given is None:
        if "labels_num" not in known and Path(checkpoint).is_file():
            raise UserError("--labels_num is needed: a checkpoint of the predecessors has none.")
        return dict(known)
    if known.get("labels_num", given) != given:
        raise UserError(
            f"--labels_num {given}: the checkpoint has {known['labels_num']} classes; leave the "
            "flag out."
        )
    return {**known, "labels_num": given}
