"""Everything one configuration describes: model, data processor, optimizer, schedule, settings.

A configuration is one mapping that all of these read; together they must ask for every key of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from uer.builder import Planner
from uer.components import Target, targets
from uer.config import decode, find_config, load_config
from uer.errors import ConfigError
from uer.images.base import images
from uer.interop.legacy.config import translate
from uer.interop.legacy.dialect import Dialect
from uer.model import Model
from uer.optimizers.base import Optimizer
from uer.planned import Plan
from uer.processors.base import Processor
from uer.schedules.base import Schedule
from uer.signature import parameters
from uer.training.settings import Settings

# Keys of a file that describe it and build nothing.
DESCRIPTIVE = ("about", "dialect", "task", "facts", "lora")
_PATTERNS = ("freeze", "lora_targets", "lora_modules_to_save")


@dataclass(frozen=True)
class Recipe:
    """A checked configuration.

    Args:
        config: the mapping, translated and with the command line's keys laid over it.
        model: plan of the model.
        processor: plan of the data processor, if the configuration names one.
        optimizer: plan of the optimizer.
        schedule: plan of the learning-rate schedule.
        settings: the settings it gives.
        notes: one sentence for every key that was dropped.
    """

    config: dict[str, Any]
    model: Plan[Model]
    processor: Plan[Processor] | None
    optimizer: Plan[Optimizer]
    schedule: Plan[Schedule]
    settings: dict[str, Any]
    notes: list[str]

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that the configuration carries (of a checkpoint: what its data had told)."""
        return dict(self.config.get("facts") or {})


def body_keys(config: Mapping[str, Any], target: str) -> dict[str, Any]:
    """The keys that the model asks for when ``target`` is what it is trained for.

    A task takes these from the configuration of a pre-trained model; what belonged to its former
    objectives, data and training stays behind.
    """
    config = {**config, "target": [target]}
    planner = Planner(config)
    planner.section(Model)
    return {key: config[key] for key in config if key in planner.asked()}


def read_recipe(
    path: str | Path | Mapping[str, Any] | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    dialect: Dialect | None = None,
) -> Recipe:
    """Read and check a configuration.

    Args:
        path: its file (YAML, or the predecessors' JSON) or its content; None: the overrides are
            all of it.
        overrides: keys that win over the file's (the command line).
        defaults: keys that the file wins over (what the data set was made for); where nobody asks
            for one, it is left out.
        dialect: whose arithmetic the keys mean; by default what the file says, else ``published``.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    if path is None or isinstance(path, Mapping):
        file, source = path or {}, None
    else:
        file, source = load_config(path), str(path)
    config = {**(defaults or {}), **file, **_as_lists(overrides or {})}
    spoken = dialect or config.get("dialect") or "published"
    if spoken not in get_args(Dialect):
        raise ConfigError([f"dialect: '{spoken}' is none; choose published or legacy."], source)
    theirs = source is not None and find_config(source).suffix == ".json"
    try:
        config, notes = translate(config, spoken, theirs=theirs)
    except ConfigError as error:
        raise ConfigError(error.problems, source) from None
    if spoken != "published":
        config["dialect"] = spoken
    planner = Planner(config, source)
    recipe = Recipe(
        config=config,
        model=planner.section(Model),
        processor=planner.choice("data_processor", Processor),
        optimizer=_required(planner.choice("optimizer", Optimizer, default="adamw")),
        schedule=_required(planner.choice("scheduler", Schedule, default="linear")),
        settings=_settings(config, planner),
        notes=notes,
    )
    _check_fields(recipe, planner)
    known = {*DESCRIPTIVE, *(field.name for field in fields(Settings))}
    given = file.keys() | (overrides or {}).keys()
    for key in (defaults or {}).keys() - given - planner.asked() - known:
        config.pop(key, None)
    if not config.get("target"):
        known |= _keys_of_targets()
    if recipe.processor is None:
        known |= _keys_of_images()
    planner.finish(also_known=known)
    return recipe


def _keys_of_targets() -> set[str]:
    """Keys that an architecture may carry for the target that a task will choose."""
    schemas = (parameters(targets.get(name)).values() for name in targets.names())
    return {entry.name for schema in schemas for entry in schema if entry.kind != "given"}


def _keys_of_images() -> set[str]:
    """Keys that a model may carry for the processor that the data set or a task will choose."""
    return {"images", *parameters(images.get("single"))}


def _required(plan: Plan[Any] | None) -> Any:
    """A choice that has a default; where it could not be planned, `finish` says why."""
    return plan


def _settings(config: Mapping[str, Any], planner: Planner) -> dict[str, Any]:
    hints = get_type_hints(Settings, include_extras=False)
    found = {}
    for name, hint in hints.items():
        if name in config:
            try:
                found[name] = decode(hint, config[name])
            except ValueError as error:
                planner.report(f"{name}: {config[name]!r} does not fit: {error}")
    return found


def _check_fields(recipe: Recipe, planner: Planner) -> None:
    """The model finds its streams, and every target its labels, in what the processor provides."""
    if recipe.processor is None:
        return
    provided = recipe.processor.part.provides
    encoder = recipe.model.parts.get("encoder")
    if isinstance(encoder, Plan) and encoder.name == "dual" and "src.ids" in provided:
        planner.report(
            f"encoder: 'dual' reads two streams and the data processor '{recipe.processor.name}' "
            "makes one; choose another of the two, with --config_path where it is a checkpoint's."
        )
    if "src.order" in provided and isinstance(encoder, Plan) and not encoder.part.reads_order:
        planner.report(
            f"encoder: '{encoder.name}' would show the tokens that the data processor "
            f"'{recipe.processor.name}' lets it predict; choose mpnet."
        )
    decodes = recipe.model.parts.get("tgt_embedding") is not None
    ahead = isinstance(encoder, Plan) and encoder.part.looks_ahead(encoder.values)
    for target in _targets(recipe.model):
        part: type[Target] = target.part
        if part.next_token and ahead and not decodes:
            planner.report(
                f"target: '{target.name}' predicts the next token, but the encoder shows it; "
                "choose mask: causal (or causal_with_prefix), or a target such as mlm."
            )
        if part.labels and f"labels.{target.name}" not in provided:
            have = ", ".join(sorted(name[7:] for name in provided if name.startswith("labels.")))
            planner.report(
                f"target: '{target.name}' needs labels that the data processor "
                f"'{recipe.processor.name}' does not make; it makes labels for: {have}."
            )


def _targets(model: Plan[Any]) -> Iterator[Plan[Any]]:
    """The targets of a model, and those of the companions that they train."""
    planned = model.parts.get("target") or []
    for target in planned if isinstance(planned, list) else []:
        yield target
        for companion in target.parts.values():
            if isinstance(companion, Plan) and issubclass(companion.part, Model):
                yield from _targets(companion)


def _as_lists(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """On a command line ``--embedding word`` means a list of one, as it always did."""
    lists = ("embedding", "tgt_embedding", "target", *_PATTERNS)
    return {
        key: [value] if key in lists and isinstance(value, str) and value != "dual" else value
        for key, value in overrides.items()
    }
