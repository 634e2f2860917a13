"""What the commands of tasks share: the task, its recipe, its rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uer.builder import Planner
from uer.cli.loading import reads_text
from uer.data.formats import FORMATS
from uer.data.store import Store
from uer.errors import ConfigError
from uer.planned import Plan
from uer.processors.base import Processor, processors
from uer.recipe import Recipe, body_keys, read_recipe
from uer.tasks.base import Examples, Task
from uer.tokenizers.base import Tokenizer

_log = logging.getLogger(__name__)

_OF_DECODER = ("decoder", "tgt_embedding", "share_embedding", "tie_weights")


def plan_task(name: str, overrides: Mapping[str, Any]) -> tuple[Task, dict[str, Any]]:
    """The task and the keys that it does not ask for."""
    planner = Planner({**overrides, "task": name})
    plan = planner.choice("task", Task)
    own = planner.asked()
    planner.finish(also_known=overrides.keys() - own)
    assert plan is not None
    job = plan.build()
    own -= set(job.passes_on)
    rest = {key: value for key, value in overrides.items() if key not in own}
    if "seq_length" in rest and not reads_text(job.processor):  # the predecessors' scripts take it
        _log.info("--seq_length has no effect: there is no text.")
        del rest["seq_length"]
    return job, rest


def task_recipe(
    task: Task, config: str | Path | Mapping[str, Any], overrides: Mapping[str, Any], dialect: Any
) -> Recipe:
    """A model's configuration with the task's head and data processor."""
    base = read_recipe(config, dialect=dialect)
    kept = base.config
    writes, decodes = "tgt.ids" in processors.get(task.processor).provides, "tgt_embedding" in kept
    if writes and not decodes and "tgt_embedding" not in overrides:
        raise ConfigError(
            [
                "the task writes texts with a decoder, and the model has none; choose a "
                "configuration with decoder and tgt_embedding, or name both with their flags."
            ]
        )
    if decodes and not writes:
        # There is nothing for a decoder to read; the encoder is fine-tuned alone.
        kept = {key: kept[key] for key in kept if key not in _OF_DECODER}
    body = body_keys(kept, task.target)
    if FORMATS[processors.get(task.processor).corpus].fields:
        body |= _of_media(base, kept, task.processor)
    body |= {"target": [task.target], "data_processor": task.processor}
    if "vocab_size" in base.facts:
        body["facts"] = {"vocab_size": base.facts["vocab_size"]}
    if "dialect" in base.config:
        body["dialect"] = base.config["dialect"]
    for note in base.notes:
        _log.info(note)
    return read_recipe(body, overrides)


def _of_media(base: Recipe, config: Mapping[str, Any], processor: str) -> dict[str, Any]:
    """How the model was shown its images or sounds in pre-training, so it sees them again.

    A pipeline that its data processor chose by default is named.
    """
    parts = {} if base.processor is None else base.processor.parts
    named = {key: part.name for key, part in parts.items() if isinstance(part, Plan)}
    shown = {**named, **config}
    planner = Planner({**shown, "data_processor": processor})
    planner.choice("data_processor", Processor)
    return {key: value for key, value in shown.items() if key in planner.asked()}


def make_store(tokenizer: Tokenizer | None, examples: Examples) -> Store:
    """The rows, tokenised, in memory."""
    return Store.in_memory(tokenizer, examples.texts, examples.columns, examples.media)


def build_processor(recipe: Recipe, facts: Mapping[str, Any]) -> Processor:
    """The recipe's data processor."""
    assert recipe.processor is not None, "a task names its processor"
    return recipe.processor.build(facts)
