"""`pretrain.py`: train a model's objectives on a data set."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from uer.cli import team
from uer.cli.flags import Overrides
from uer.cli.loading import Loading
from uer.cli.starting import (
    base_weights,
    growth,
    require_same_optimizer,
    settings_of,
    start,
    told_facts,
    train_like,
)
from uer.cli.tokenizer import require_vocabulary, side_facts, split_tokenizer, tokenizer_keys
from uer.config import dump_yaml, load_config
from uer.data.store import Store
from uer.data.store_meta import tokenizer_folder
from uer.data.stream import BucketStream, Packing, Stream, TextStream
from uer.errors import ConfigError, DataError, UserError
from uer.interop.pretrained import (
    choose_config,
    dialect_of,
    grown_from,
    trained_with,
)
from uer.model import Model
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugins
from uer.tokenizers.base import Tokenizer
from uer.training import machine
from uer.training.cost import cost, peak_flops
from uer.training.evaluation import Evaluation
from uer.training.launch import Launch
from uer.training.length import with_length
from uer.training.processes import Processes
from uer.training.progress import JsonLines, Meter, TensorBoard, WeightsAndBiases, Writer
from uer.training.resume import find
from uer.training.settings import Settings
from uer.training.state import Contents
from uer.training.trainer import Trainer
from uer.zoo.resolve import resolve

_log = logging.getLogger(__name__)

# The data set carries its tokenizer; what describes one was given to preprocess.py.
_OF_TOKENIZER = ("tokenizer", "special_tokens_path", "json_format_corpus")


def pretrain(
    *,
    dataset_path: Annotated[str, "data set made by preprocess.py"] = "dataset.pt",
    config_path: Annotated[
        str | None, "configuration of the model (default: the checkpoint's, else bert/base)"
    ] = None,
    pretrained_model_path: Annotated[str | None, "checkpoint to start from"] = None,
    lora_pretrained_model_path: Annotated[
        str | None, "checkpoint of adapters to start from, beside that of the model"
    ] = None,
    resume_from_checkpoint: Annotated[
        str | None, "checkpoint of this run to go on from; auto: the newest, if there is one"
    ] = None,
    resume: Annotated[str | None, "the same as --resume_from_checkpoint"] = None,
    eval_dataset_path: Annotated[str | None, "data set to evaluate on"] = None,
    metric_for_best_model: Annotated[
        str, "figure of the evaluation whose best checkpoint is kept, too: loss, mlm.accuracy, …"
    ] = "loss",
    media_root: Annotated[
        str | None, "where the images or sounds of the data sets are now, if they were moved"
    ] = None,
    epochs: Annotated[int | None, "passes over the data to train for"] = None,
    max_tokens: Annotated[int | None, "tokens of all sides to train on"] = None,
    packing: Annotated[
        Packing, "documents share rows unseen by each other, joined, or have their own (off)"
    ] = "documents",
    batch_tokens: Annotated[
        int | None,
        "instead of --batch_size: tokens, frames or samples of a batch, padding included; rows of "
        "similar length share one, and are not packed",
    ] = None,
    labels_num: Annotated[
        int | None, "classes of target cls (default: counted in the data)"
    ] = None,
    allow_partial: Annotated[bool, "load what fits of a checkpoint that does not fit"] = False,
    log_path: Annotated[str | None, "file for reports as JSON lines"] = None,
    tensorboard_path: Annotated[str | None, "folder for TensorBoard"] = None,
    wandb_project: Annotated[str | None, "project on Weights & Biases to report to"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    settings: Annotated[dict[str, Any], Settings],
    launch: Annotated[dict[str, Any], Launch],
    loading: Annotated[dict[str, Any], Loading],
    overrides: Overrides,
) -> None:
    """Pre-train a model on a data set.

    The configuration chooses the parts, the data set carries the tokenizer. Checkpoints are
    folders `<output_model_path>-<step>`, and there is always one at the end. Of --total_steps,
    --epochs and --max_tokens the first that is reached ends the run.
    """
    load_plugins(plugin)
    found = find(resume_from_checkpoint, resume, settings["output_model_path"])
    adapters = (found.folder, lora_pretrained_model_path)
    pretrained_model_path = base_weights(resolve(pretrained_model_path), *adapters)
    reading = Loading(**loading)
    store = Store.open(dataset_path, media_root)
    tokenizers, overrides = _tokenizers(store, overrides, dataset_path)
    if pretrained_model_path is not None and not allow_partial:
        _require_trained_with(tokenizers, pretrained_model_path, may_grow=True)
    if found.folder is not None:
        _require_trained_with(tokenizers, found.folder)
    config = choose_config(config_path, found.folder or pretrained_model_path)
    made_for = _made_for(store)
    if config_path is None and found.folder is None and pretrained_model_path is not None:
        # Of what the checkpoint was trained for, only what the new objectives ask for is kept.
        own = config if isinstance(config, Mapping) else load_config(config)
        config, made_for = None, {**made_for, **own}
    recipe = read_recipe(
        config, overrides, defaults=made_for, dialect=dialect_of(pretrained_model_path)
    )
    for note in recipe.notes:
        _log.info(note)
    given = {**settings_of(*adapters), **recipe.settings, **settings}
    chosen = Settings(**{**team.settings_in(launch), **given})
    together = team.gather(launch, chosen)
    found.agree(together.processes)
    require_same_optimizer(recipe, found.folder)
    machine.seed_everything(chosen.seed)
    labels = {**_labels(store, dataset_path, labels_num), **_with_codes(tokenizers, recipe)}
    grown = growth(tokenizers, recipe, pretrained_model_path)
    facts = known_facts(tokenizers, recipe, labels, grown)
    source, target = tokenizers.get("src"), tokenizers.get("tgt")
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
    plain = _stream(store, recipe, model, chosen, packing, facts, together.processes, batch_tokens)
    media_report = reading.report(together.processes.rank)
    stream = reading.stream(plain, media_report)
    _log.info("%s: %s", dataset_path, _figures(stream.report()))
    steps_given = "total_steps" in {**recipe.settings, **settings}
    chosen = with_length(
        chosen, stream, steps_given=steps_given, epochs=epochs, max_tokens=max_tokens
    )
    evaluation = None
    if eval_dataset_path is not None:
        held_out = Store.open(eval_dataset_path, media_root)
        _require_alike(held_out, eval_dataset_path, store, tokenizers, facts.get("labels_num"))
        dev = _stream(
            held_out, recipe, model, chosen, packing, facts, together.processes, batch_tokens
        )
        evaluation = Evaluation(
            data=reading.stream(dev, media_report),
            best_by=metric_for_best_model,
            highest=not metric_for_best_model.endswith("loss"),
        )
    config = {**recipe.config, **about, "facts": told_facts(recipe, facts, labels)}
    trainer = Trainer(
        model,
        stream,
        chosen,
        optimizer=recipe.optimizer.build(),
        schedule=recipe.schedule.build(chosen.facts()),
        engine=together.engine(chosen),
        contents=Contents(
            config=dump_yaml(config),
            save_tokenizer=source.save if source else None,
            save_tgt_tokenizer=target.save if target else None,
        ),
        evaluation=evaluation,
        writers=writers(log_path, tensorboard_path, wandb_project, chosen, together.processes),
        meter=_meter(recipe, facts, model, chosen, plain, together),
    )
    try:
        trainer.run(found.folder, auto=found.auto)
    finally:
        media_report.log()


def _require_alike(
    held_out: Store,
    path: str,
    store: Store,
    tokenizers: Mapping[str, Tokenizer],
    labels_num: int | None,
) -> None:
    """Refuse data for evaluation whose classes or tokens have other numbers than the model's."""
    _require_classes(store, held_out, path)
    for side, tokenizer in tokenizers.items():
        held_out.require_tokenizer(tokenizer, side)
    _labels(held_out, path, labels_num)


def build_model(recipe: Recipe, facts: Mapping[str, Any]) -> Model:
    """The model of a recipe, with at least one target.

    Raises:
        ConfigError: there is nothing to train it for.
    """
    model = recipe.model.build(facts)
    if not model.objectives:
        raise ConfigError(
            [
                "target: the configuration names none, so there is nothing to train; choose one "
                "with --target (clr for a dual model), or fine-tune the architecture for a task."
            ]
        )
    trained, resting = (
        sum(p.numel() for p in model.parameters() if p.requires_grad == wanted)
        for wanted in (True, False)
    )
    beside = f" (and {resting:,} that rest)" if resting else ""
    _log.info("model of %s parameters%s: %s", f"{trained:,}", beside, ", ".join(model.objectives))
    return model


def writers(
    log_path: str | None,
    tensorboard_path: str | None,
    wandb_project: str | None,
    settings: Settings,
    processes: Processes,
) -> list[Writer]:
    """Where reports go besides the console; only the main process has files."""
    found: list[Writer] = []
    if not processes.is_main:
        return found
    if log_path is not None:
        found.append(JsonLines(log_path))
    if tensorboard_path is not None:
        found.append(TensorBoard(tensorboard_path))
    if wandb_project is not None:
        found.append(WeightsAndBiases(wandb_project, asdict(settings)))
    return found


def _tokenizers(
    store: Store, overrides: Mapping[str, Any], dataset_path: str
) -> tuple[dict[str, Tokenizer], dict[str, Any]]:
    """The data set's tokenizers by side, and the flags that describe none of them."""
    of_source, left = split_tokenizer(overrides)
    of_target = {f"tgt_{key}": key for key in (*tokenizer_keys(), *_OF_TOKENIZER)}
    described = {
        "src": {**of_source, **{key: left[key] for key in _OF_TOKENIZER if key in left}},
        "tgt": {of_target[key]: value for key, value in left.items() if key in of_target},
    }
    left = {
        key: value
        for key, value in left.items()
        if key not in of_target and key not in _OF_TOKENIZER
    }
    found = {}
    for side in store.sides:
        found[side] = store.tokenizer(side)
        flags, _ = split_tokenizer(described[side])
        kind, prefix = described[side].get("tokenizer"), "" if side == "src" else f"{side}_"
        require_vocabulary(found[side], kind, flags, dataset_path, prefix)
    return found, left


def _require_trained_with(
    tokenizers: Mapping[str, Tokenizer], checkpoint: str, *, may_grow: bool = False
) -> None:
    """Weights belong to tokens; a file of the predecessors says nothing about them."""
    if "tgt" not in tokenizers and (Path(checkpoint) / tokenizer_folder("tgt")).is_dir():
        raise UserError(
            f"{checkpoint} was trained with a tokenizer of its own for the target side, the data "
            "set has none; preprocess the corpus with the --tgt_… flags of its data, or start from "
            "its weights with --pretrained_model_path and --allow_partial."
        )
    for side, tokenizer in tokenizers.items():
        own = trained_with(checkpoint, tokenizer, side)
        if own is not None and not (may_grow and grown_from(checkpoint, tokenizer, side)):
            which = "target tokenizer" if side == "tgt" else "tokenizer"
            raise UserError(
                f"{checkpoint} was trained with the {which} '{own.kind}' of {own.vocab_size} "
                f"tokens, the data set was made with '{tokenizer.kind}' of {tokenizer.vocab_size} "
                "tokens, and the two differ; preprocess the corpus with the vocabulary of "
                f"{checkpoint}, or start from its weights with --pretrained_model_path and "
                "--allow_partial."
            )


def known_facts(
    tokenizers: Mapping[str, Tokenizer],
    recipe: Recipe,
    labels: Mapping[str, Any],
    grown: Collection[tuple[int, int]] = (),
) -> dict[str, Any]:
    """What is known before a model is built; what a checkpoint knows of its tables counts.

    Args:
        tokenizers: by side.
        recipe: of the model; carries what the checkpoint knows.
        labels: what the data tell about their classes.
        grown: see `growth`.

    Raises:
        UserError: the tokenizer has tokens that the word table has no rows for.
    """
    if not tokenizers:
        return {**recipe.facts, **labels}
    decodes = recipe.model.parts.get("tgt_embedding") is not None
    source = tokenizers["src"]
    told = side_facts(source, tokenizers.get("tgt"), decodes=decodes)
    facts = {**told, **recipe.facts, **labels}
    if (facts["vocab_size"], source.vocab_size) in grown:
        facts["vocab_size"] = source.vocab_size
    if facts["vocab_size"] < source.vocab_size:
        raise UserError(
            f"the checkpoint has {facts['vocab_size']} word vectors, the tokenizer "
            f"{source.vocab_size} tokens, not all of which stand behind those of the checkpoint; "
            f"enlarge it with `uer convert --resize_vocab_to {source.vocab_size}`."
        )
    return facts


def _made_for(store: Store) -> dict[str, Any]:
    """What preprocessing was told about instances."""
    made_for = store.meta.processor or {}
    return {"data_processor": made_for.get("name"), **made_for.get("options", {})}


def _require_classes(store: Store, held_out: Store, path: str) -> None:
    """Classes that have names are numbered alike.

    Raises:
        DataError: they are not.
    """
    ours, theirs = store.meta.classes, held_out.meta.classes
    if ours and theirs and ours != theirs:
        odd = sorted(set(ours) ^ set(theirs))
        raise DataError(
            f"its classes are not those of the training data ({', '.join(odd[:5])} differ), so "
            "their numbers mean something else; give both the same sub-folders.",
            path,
        )


def _with_codes(tokenizers: Mapping[str, Tokenizer], recipe: Recipe) -> dict[str, int]:
    """The size of a vocabulary that the codes of images enlarge."""
    plan = recipe.processor
    if plan is None or not plan.part.adds_codes:
        return {}
    return {"vocab_size": tokenizers["src"].vocab_size + plan.values["codes_num"]}


def _labels(store: Store, path: str, labels_num: int | None) -> dict[str, int]:
    """How many classes the rows of the data set have.

    Raises:
        DataError: a label is none of the classes, or one of them has no row.
    """
    if "label" not in store.columns:
        return {} if labels_num is None else {"labels_num": labels_num}
    if store.columns["label"].ndim == 2:
        return {"labels_num": store.columns["label"].shape[1]}
    found = np.unique(store.columns["label"])
    highest = int(found[-1])
    if labels_num is None and highest >= len(found):
        raise DataError(
            f"the labels go up to {highest}, but only {len(found)} different ones occur; number "
            "the classes 0, 1, 2, … without a gap, or say how many there are with --labels_num.",
            path,
        )
    if labels_num is not None and highest >= labels_num:
        raise DataError(
            f"the label {highest} is outside 0 … {labels_num - 1}, the model's {labels_num} "
            "classes; leave --labels_num out to count them in the data to train on.",
            path,
        )
    return {"labels_num": highest + 1 if labels_num is None else labels_num}


def _stream(
    store: Store,
    recipe: Recipe,
    model: Model,
    settings: Settings,
    packing: Packing,
    facts: Mapping[str, Any],
    processes: Processes,
    batch_tokens: int | None,
) -> Stream:
    if recipe.processor is None:
        raise ConfigError(["data_processor: the configuration names none; choose one."])
    packs = batch_tokens is None and packing != "off" and model.packable
    processor = recipe.processor.build({**facts, "share_rows": packs})
    if batch_tokens is not None:
        return BucketStream(
            store,
            processor,
            batch_tokens=batch_tokens,
            seed=settings.seed,
            rank=processes.rank,
            world=processes.world,
        )
    return TextStream(
        store,
        processor,
        batch_size=settings.batch_size,
        seq_length=processor.seq_length,
        packing=packing if packs and processor.packable else "off",
        seed=settings.seed,
        rank=processes.rank,
        world=processes.world,
    )


def _meter(
    recipe: Recipe,
    facts: Mapping[str, Any],
    trained: Model,
    settings: Settings,
    stream: Stream,
    together: team.Team,
) -> Meter:
    """A meter that knows what a token costs and what the devices can do."""
    with torch.device("meta"):
        model = recipe.model.build(facts)
        train_like(model, trained, settings)
    batch = next(stream.once())
    if not batch.tokens():  # a filler: there are fewer rows than processes
        return Meter()
    needed = cost(model, batch).flops / batch.tokens()
    of_one = peak_flops(together.machine.device, together.machine.precision)
    return Meter(needed, of_one * together.processes.world)


def _figures(report: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.10g}" for name, value in report.items())
