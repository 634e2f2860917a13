"""`pretrain.py`: train a model's objectives on a data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

import torch

from uer.cli.dataset import labels_of, require_alike, require_trained_with, tokenizers_of
from uer.cli.flags import Overrides
from uer.cli.loading import Loading
from uer.cli.origin import Beginning
from uer.cli.reporting import Reporting
from uer.cli.run import Built, Run
from uer.cli.starting import train_like
from uer.config import load_config
from uer.data.bucket_stream import BucketStream
from uer.data.packing import Packing
from uer.data.store import Store
from uer.data.stream import Stream
from uer.data.text_stream import TextStream
from uer.errors import ConfigError
from uer.interop.pretrained import choose_config, dialect_of
from uer.model import Model
from uer.recipe import Recipe, read_recipe
from uer.registry import load_plugins
from uer.tokenizers.base import Tokenizer
from uer.training.cost import cost, peak_flops
from uer.training.evaluation import Evaluation
from uer.training.launch import Launch
from uer.training.length import with_length
from uer.training.progress import Meter
from uer.training.settings import Settings

_log = logging.getLogger(__name__)


def pretrain(
    *,
    dataset_path: Annotated[str, "data set made by preprocess.py"] = "dataset.pt",
    config_path: Annotated[
        str | None, "configuration of the model (default: the checkpoint's, else bert/base)"
    ] = None,
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
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    beginning: Annotated[dict[str, Any], Beginning],
    reporting: Annotated[dict[str, Any], Reporting],
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
    origin = Beginning(**beginning).origin(settings["output_model_path"])
    reading = Loading(**loading)
    store = Store.open(dataset_path, media_root)
    tokenizers, overrides = tokenizers_of(store, overrides, dataset_path)
    resumed, pretrained = origin.found.folder, origin.pretrained
    if pretrained is not None and not origin.allow_partial:
        require_trained_with(tokenizers, pretrained, may_grow=True)
    if resumed is not None:
        require_trained_with(tokenizers, resumed)
    config = choose_config(config_path, resumed or pretrained)
    made_for = _made_for(store)
    if config_path is None and resumed is None and pretrained is not None:
        # Of what the checkpoint was trained for, only what the new objectives ask for is kept.
        own = config if isinstance(config, Mapping) else load_config(config)
        config, made_for = None, {**made_for, **own}
    recipe = read_recipe(config, overrides, defaults=made_for, dialect=dialect_of(pretrained))
    for note in recipe.notes:
        _log.info(note)
    run = Run(origin, recipe, launch, settings)
    labels = {**labels_of(store, dataset_path, labels_num), **_with_codes(tokenizers, recipe)}
    built = run.build(tokenizers, labels)
    plain = _stream(store, run, built, packing, batch_tokens)
    media_report = reading.report(run.team.processes.rank)
    stream = reading.stream(plain, media_report)
    _log.info("%s: %s", dataset_path, _figures(stream.report()))
    steps_given = "total_steps" in run.given
    chosen = with_length(
        run.settings, stream, steps_given=steps_given, epochs=epochs, max_tokens=max_tokens
    )
    evaluation = None
    if eval_dataset_path is not None:
        held_out = Store.open(eval_dataset_path, media_root)
        require_alike(held_out, eval_dataset_path, store, tokenizers, built.facts.get("labels_num"))
        dev = _stream(held_out, run, built, packing, batch_tokens)
        evaluation = Evaluation(
            data=reading.stream(dev, media_report),
            best_by=metric_for_best_model,
            highest=_best_high(metric_for_best_model, built.model),
        )
    try:
        run.train(
            built,
            stream,
            chosen,
            reporting=Reporting(**reporting),
            evaluation=evaluation,
            meter=_meter(run, built, plain),
        )
    finally:
        media_report.log()


def _made_for(store: Store) -> dict[str, Any]:
    """What preprocessing was told about instances."""
    made_for = store.meta.processor or {}
    return {"data_processor": made_for.get("name"), **made_for.get("options", {})}


def _with_codes(tokenizers: Mapping[str, Tokenizer], recipe: Recipe) -> dict[str, int]:
    """The size of a vocabulary that the codes of images enlarge."""
    plan = recipe.processor
    if plan is None or not plan.part.adds_codes:
        return {}
    return {"vocab_size": tokenizers["src"].vocab_size + plan.values["codes_num"]}


def _best_high(figure: str, model: Model) -> bool:
    """Whether a figure of the evaluation is best high: no loss, and not declared otherwise."""
    name, _, metric = figure.rpartition(".")
    lowest = model.heads[name].lowest if name in model.heads else ()
    return metric not in ("loss", *lowest)


def _stream(
    store: Store, run: Run, built: Built, packing: Packing, batch_tokens: int | None
) -> Stream:
    plan, processes, settings = run.recipe.processor, run.team.processes, run.settings
    if plan is None:
        raise ConfigError(["data_processor: the configuration names none; choose one."])
    packs = batch_tokens is None and packing != "off" and built.model.packable
    processor = plan.build({**built.facts, "share_rows": packs})
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


def _meter(run: Run, built: Built, stream: Stream) -> Meter:
    """A meter that knows what a token costs and what the devices can do."""
    with torch.device("meta"):
        model = run.recipe.model.build(built.facts)
        train_like(model, built.model, run.settings)
    batch = next(stream.once())
    if not batch.tokens():  # a filler: there are fewer rows than processes
        return Meter()
    needed = cost(model, batch).flops / batch.tokens()
    device = run.team.machine
    return Meter(needed, peak_flops(device.device, device.precision) * run.team.processes.world)


def _figures(report: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.10g}" for name, value in report.items())
