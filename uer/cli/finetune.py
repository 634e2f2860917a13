"""`uer finetune TASK`: train a model for a task; `finetune/run_<task>.py` are its entry scripts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from uer.builder import Planner
from uer.cli import team
from uer.cli.flags import POSITIONAL, Overrides
from uer.cli.loading import Loading, reads_text
from uer.cli.pretrain import build_model, known_facts, writers
from uer.cli.starting import (
    base_weights,
    growth,
    require_same_optimizer,
    settings_of,
    start,
    told_facts,
)
from uer.cli.tokenizer import choose_tokenizer, split_tokenizer
from uer.config import dump_yaml
from uer.data.formats import FORMATS
from uer.data.loader import Loader
from uer.data.store import Store
from uer.data.stream import BucketStream, Stream
from uer.errors import ConfigError
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.processors.base import Processor, processors
from uer.recipe import Recipe, body_keys, read_recipe
from uer.registry import load_plugins
from uer.tasks.base import Examples, Task
from uer.tokenizers.base import Tokenizer
from uer.training import machine
from uer.training.evaluation import Evaluation
from uer.training.launch import Launch
from uer.training.predict import predict
from uer.training.processes import Processes
from uer.training.resume import find
from uer.training.settings import Settings
from uer.training.state import Contents
from uer.training.trainer import Trainer
from uer.zoo.resolve import resolve

_log = logging.getLogger(__name__)

_OF_DECODER = ("decoder", "tgt_embedding", "share_embedding")


def finetune(
    *,
    task: Annotated[str, "name of the task", POSITIONAL],
    train_path: Annotated[str, "rows to train on"],
    dev_path: Annotated[str | None, "rows that decide which epoch's model is kept"] = None,
    test_path: Annotated[str | None, "rows to report on at the end"] = None,
    pretrained_model_path: Annotated[str | None, "checkpoint to start from"] = None,
    lora_pretrained_model_path: Annotated[
        str | None, "checkpoint of adapters to start from, beside that of the model"
    ] = None,
    config_path: Annotated[
        str | None, "configuration of the model (default: the checkpoint's, else bert/base)"
    ] = None,
    output_model_path: Annotated[str, "where to write the model"] = "models/finetuned_model.bin",
    tokenizer: Annotated[
        str | None, "name of the tokenizer, with its flags (default: the checkpoint's, else bert)"
    ] = None,
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None,
    epochs_num: Annotated[int, "passes over the training rows, unless --total_steps is given"] = 3,
    allow_partial: Annotated[bool, "load what fits of a checkpoint that does not fit"] = False,
    resume_from_checkpoint: Annotated[
        str | None, "checkpoint of this run to go on from; auto: the newest, if there is one"
    ] = None,
    resume: Annotated[str | None, "the same as --resume_from_checkpoint"] = None,
    log_path: Annotated[str | None, "file for reports as JSON lines"] = None,
    tensorboard_path: Annotated[str | None, "folder for TensorBoard"] = None,
    wandb_project: Annotated[str | None, "project on Weights & Biases to report to"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
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
    found = find(resume_from_checkpoint, resume, output_model_path)
    adapters = (found.folder, lora_pretrained_model_path)
    pretrained_model_path = base_weights(resolve(pretrained_model_path), *adapters)
    reading = Loading(**loading)
    described, overrides = split_tokenizer(overrides)
    job, overrides = plan_task(task, overrides)
    config = choose_config(config_path, pretrained_model_path)
    recipe = task_recipe(job, config, overrides, dialect_of(pretrained_model_path))
    implied = {**team.settings_in(launch), **settings_of(*adapters)}
    given = {"output_model_path": output_model_path, **implied, **recipe.settings, **settings}
    chosen = Settings(**given)
    together = team.gather(launch, chosen)
    found.agree(together.processes)
    require_same_optimizer(recipe, found.folder)
    machine.seed_everything(chosen.seed)
    made = None
    if reads_text(job.processor):
        made = choose_tokenizer(
            tokenizer, special_tokens_path, described, pretrained_model_path, may_grow=True
        )
        job.tokenizer = made
    tokenizers = {"src": made} if made else {}
    train = job.read(train_path, {}, labelled=True)
    labels = job.facts(train)
    grown = growth(tokenizers, recipe, pretrained_model_path)
    facts = known_facts(tokenizers, recipe, labels, grown)
    model = build_model(recipe, facts)
    about = start(
        model,
        chosen,
        pretrained=pretrained_model_path,
        resume=found.folder,
        adapters=lora_pretrained_model_path,
        allow_partial=allow_partial,
        grown=grown,
    )
    left_out = reading.report(together.processes.rank)

    def batches(examples: Examples) -> Stream | Loader:
        made_of = _stream(examples, made, recipe, facts, chosen, together.processes)
        return reading.stream(made_of, left_out)

    _log.info("%s: %d rows, %s", train_path, len(train), labels)
    chosen = _by_epochs(given, stream := batches(train), epochs_num)
    evaluation = None
    if dev_path is not None:
        dev = batches(job.read(dev_path, facts, labelled=True))
        evaluation = Evaluation(data=dev, best_by=job.best_by, highest=job.highest)
    test = None if test_path is None else job.read(test_path, facts, labelled=True)
    told = told_facts(recipe, facts, labels)
    described = {**recipe.config, **about, "task": task, "facts": told}
    Trainer(
        model,
        stream,
        chosen,
        optimizer=recipe.optimizer.build(),
        schedule=recipe.schedule.build(chosen.facts()),
        engine=together.engine(chosen),
        contents=Contents(config=dump_yaml(described), save_tokenizer=made.save if made else None),
        evaluation=evaluation,
        writers=writers(log_path, tensorboard_path, wandb_project, chosen, together.processes),
        numbered=False,
    ).run(found.folder, auto=found.auto)
    if test is not None and together.processes.is_main:
        model = recipe.model.build(facts).to(together.machine.device)  # an engine divided the other
        load_pretrained(model, chosen.output_model_path)
        alone = _stream(test, made, recipe, facts, chosen, None)
        outputs = predict(job, model, reading.stream(alone, left_out))
        for line in job.summary(outputs, test):
            _log.info("%s: %s", test_path, line)
    left_out.log()


def plan_task(name: str, overrides: Mapping[str, Any]) -> tuple[Task, dict[str, Any]]:
    """The task and the keys that it does not ask for."""
    planner = Planner({**overrides, "task": name})
    plan = planner.choice("task", Task)
    own = planner.asked()
    planner.finish(also_known=overrides.keys() - own)
    assert plan is not None
    job = plan.build()
    own -= set(job.passes_on)
    return job, {key: value for key, value in overrides.items() if key not in own}


def task_recipe(
    task: Task, config: str | Path | Mapping[str, Any], overrides: Mapping[str, Any], dialect: Any
) -> Recipe:
    """A model's configuration with the task's head and data processor."""
    base = read_recipe(config, dialect=dialect)
    kept = base.config
    if "tgt.ids" not in processors.get(task.processor).provides:
        # There is nothing for a decoder to read; the encoder is fine-tuned alone.
        kept = {key: kept[key] for key in kept if key not in _OF_DECODER}
    body = body_keys(kept, task.target)
    if FORMATS[processors.get(task.processor).corpus].fields:
        body |= _of_media(kept, task.processor)
    body |= {"target": [task.target], "data_processor": task.processor}
    if "vocab_size" in base.facts:
        body["facts"] = {"vocab_size": base.facts["vocab_size"]}
    if "dialect" in base.config:
        body["dialect"] = base.config["dialect"]
    for note in base.notes:
        _log.info(note)
    return read_recipe(body, overrides)


def _of_media(config: Mapping[str, Any], processor: str) -> dict[str, Any]:
    """How the model was shown its images or sounds in pre-training, so it sees them again."""
    planner = Planner({**config, "data_processor": processor})
    planner.choice("data_processor", Processor)
    return {key: config[key] for key in config if key in planner.asked()}


def make_store(tokenizer: Tokenizer | None, examples: Examples) -> Store:
    """The rows, tokenised, in memory."""
    return Store.in_memory(tokenizer, examples.texts, examples.columns, examples.media)


def _stream(
    examples: Examples,
    tokenizer: Tokenizer | None,
    recipe: Recipe,
    facts: Mapping[str, Any],
    settings: Settings,
    processes: Processes | None,
) -> BucketStream:
    """Batches of rows, shared by the processes; None: this one has all of them."""
    return BucketStream(
        make_store(tokenizer, examples),
        build_processor(recipe, facts),
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=processes.rank if processes else 0,
        world=processes.world if processes else 1,
    )


def build_processor(recipe: Recipe, facts: Mapping[str, Any]) -> Processor:
    """The recipe's data processor."""
    assert recipe.processor is not None, "a task names its processor"
    return recipe.processor.build(facts)


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
