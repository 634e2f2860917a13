"""`uer finetune TASK`: train a model for a task; `finetune/run_<task>.py` are its entry scripts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from uer.cli.flags import POSITIONAL, Overrides
from uer.cli.loading import Loading, reads_text
from uer.cli.origin import Beginning
from uer.cli.reporting import Reporting
from uer.cli.run import Built, Run
from uer.cli.tasks import build_processor, make_store, plan_task, task_recipe
from uer.cli.tokenizer import choose_tokenizer, split_tokenizer
from uer.data.bucket_stream import BucketStream
from uer.data.loader import Loader
from uer.data.stream import Stream
from uer.errors import ConfigError
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.registry import load_plugins
from uer.tasks.base import Examples
from uer.training.evaluation import Evaluation
from uer.training.launch import Launch
from uer.training.predict import predict
from uer.training.processes import Processes
from uer.training.settings import Settings

_log = logging.getLogger(__name__)


def finetune(
    *,
    task: Annotated[str, "name of the task", POSITIONAL],
    train_path: Annotated[str, "rows to train on"],
    dev_path: Annotated[str | None, "rows that decide which epoch's model is kept"] = None,
    test_path: Annotated[str | None, "rows to report on at the end"] = None,
    config_path: Annotated[
        str | None, "configuration of the model (default: the checkpoint's, else bert/base)"
    ] = None,
    output_model_path: Annotated[str, "where to write the model"] = "models/finetuned_model.bin",
    tokenizer: Annotated[
        str | None, "name of the tokenizer, with its flags (default: the checkpoint's, else bert)"
    ] = None,
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None,
    epochs_num: Annotated[int, "passes over the training rows, unless --total_steps is given"] = 3,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    beginning: Annotated[dict[str, Any], Beginning],
    reporting: Annotated[dict[str, Any], Reporting],
    settings: Annotated[dict[str, Any], Settings],
    launch: Annotated[dict[str, Any], Launch],
    loading: Annotated[dict[str, Any], Loading],
    overrides: Overrides,
) -> None:
    """Train a model for a task, from a checkpoint or from the start.

    The result is a folder that carries weights, configuration, tokenizer and labels: inference
    needs nothing else. Batches hold rows of similar length; the best epoch on --dev_path is kept.
    """
    load_plugins(plugin)
    if epochs_num < 1:
        raise ConfigError([f"--epochs_num {epochs_num}: must be at least 1."])
    origin = Beginning(**beginning).origin(output_model_path)
    reading = Loading(**loading)
    described, overrides = split_tokenizer(overrides)
    job, overrides = plan_task(task, overrides)
    config = choose_config(config_path, origin.pretrained)
    recipe = task_recipe(job, config, overrides, dialect_of(origin.pretrained))
    run = Run(origin, recipe, launch, settings, implied={"output_model_path": output_model_path})
    processes = run.team.processes
    made = None
    if reads_text(job.processor):
        made = choose_tokenizer(
            tokenizer, special_tokens_path, described, origin.pretrained, may_grow=True
        )
        job.tokenizer = made
    train = job.read(train_path, {}, labelled=True)
    labels = job.facts(train)
    built = run.build({"src": made} if made else {}, labels)
    left_out = reading.report(processes.rank)

    def batches(examples: Examples) -> Stream | Loader:
        return reading.stream(_stream(examples, run, built, processes), left_out)

    stream = batches(train)
    _log.info("%s: %d rows, %s", train_path, len(train), labels)
    chosen = _by_epochs(run.given, stream, epochs_num)
    evaluation = None
    if dev_path is not None:
        dev = batches(job.read(dev_path, built.facts, labelled=True))
        evaluation = Evaluation(data=dev, best_by=job.best_by, highest=job.highest)
    test = None if test_path is None else job.read(test_path, built.facts, labelled=True)
    run.train(
        built,
        stream,
        chosen,
        reporting=Reporting(**reporting),
        evaluation=evaluation,
        task=task,
    )
    if test is not None and processes.is_main:
        # An engine divided the other one.
        model = recipe.model.build(built.facts).to(run.team.machine.device)
        load_pretrained(model, chosen.output_model_path)
        outputs = predict(job, model, reading.stream(_stream(test, run, built), left_out))
        for line in job.summary(outputs, test):
            _log.info("%s: %s", test_path, line)
    left_out.log()


def _stream(
    examples: Examples, run: Run, built: Built, processes: Processes | None = None
) -> BucketStream:
    """Batches of rows, shared by the processes; None: this one has all of them."""
    return BucketStream(
        make_store(built.tokenizers.get("src"), examples),
        build_processor(run.recipe, built.facts),
        batch_size=run.settings.batch_size,
        seed=run.settings.seed,
        rank=processes.rank if processes else 0,
        world=processes.world if processes else 1,
    )


def _by_epochs(given: Mapping[str, Any], stream: Stream | Loader, epochs: int) -> Settings:
    """Settings in epochs: how long to train, and when to evaluate and save."""
    accumulation = given.get("accumulation_steps", 1)
    an_epoch = max(1, stream.count(1) // accumulation)
    return Settings(
        **{
            "total_steps": -(-stream.count(epochs) // accumulation),
            "save_checkpoint_steps": an_epoch,
            **given,
        }
    )
