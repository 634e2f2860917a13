"""What a run starts from: weights, and which of them it trains."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from uer.errors import ConfigError
from uer.interop.adapters import adapters_of, base_of, read_adapters
from uer.interop.legacy.checkpoint import is_legacy_checkpoint
from uer.interop.pretrained import checkpoint_config, grown_from, load_pretrained
from uer.model import Model
from uer.recipe import DESCRIPTIVE, Recipe, read_recipe
from uer.tokenizers.base import Tokenizer
from uer.training import lora
from uer.training.freezing import freeze, plain_name, trained_line
from uer.training.loading import fill
from uer.training.settings import Settings

_log = logging.getLogger(__name__)


def settings_of(*checkpoints: str | None) -> dict[str, Any]:
    """The settings that follow from what a run goes on with; all others win over them.

    Args:
        checkpoints: to resume from, and adapters to start from.
    """
    found = (adapters_of(path) for path in checkpoints if path is not None)
    return next((lora.given_by(about) for about in found if about is not None), {})


def base_weights(pretrained: str | None, *checkpoints: str | None) -> str | None:
    """Where a run's first weights come from: the flag's, else those that its adapters belong to.

    Args:
        pretrained: what the flag says.
        checkpoints: as for `settings_of`.
    """
    for path in checkpoints:
        about = None if path is None or pretrained is not None else adapters_of(path)
        if path is not None and about is not None:
            return base_of(path, about)
    return pretrained


def start(
    model: Model,
    settings: Settings,
    *,
    pretrained: str | None,
    resume: str | None = None,
    adapters: str | None = None,
    allow_partial: bool = False,
    grown: Collection[tuple[int, int]] = (),
) -> dict[str, Any]:
    """Load weights, add adapters, freeze.

    Args:
        model: as the configuration says; changed in place.
        settings: of the run.
        pretrained: the checkpoint to start from.
        resume: the run's checkpoint, which will be loaded later.
        adapters: checkpoint of adapters to start from.
        allow_partial: load what fits.
        grown: see `load_pretrained`.

    Returns:
        What the run's checkpoints say about their adapters, by the configuration's key.

    Raises:
        ConfigError: the settings contradict the checkpoints or each other.
        CheckpointError: weights cannot be read or do not fit.
    """
    if resume is not None:
        lora.require_same(adapters_of(resume), settings, resume)
    if adapters is not None and not settings.use_lora:
        raise ConfigError(["--lora_pretrained_model_path: goes with --use_lora."])
    if settings.use_lora and pretrained is None:
        raise ConfigError(
            [
                "--use_lora: differences are to the weights of a checkpoint; name it with "
                "--pretrained_model_path."
            ]
        )
    missing: list[str] = []
    if pretrained is not None:
        report = load_pretrained(model, pretrained, allow_partial=allow_partial, grown=grown)
        _log.info("%s: %s", pretrained, report.line())
        other = [one.name for one in report.mismatched]  # with --allow_partial
        missing = [*report.missing, *report.extended, *other]
    about: dict[str, Any] = {}
    if settings.use_lora:
        names = lora.adapt(model, settings, missing)
        _log.info("LoRA of rank %d on %d maps, such as %s", settings.lora_r, len(names), names[0])
        if missing:
            _log.info("trained whole, being new: %s", ", ".join(missing))
        about = {lora.SECTION: lora.section(model, settings, str(Path(str(pretrained)).resolve()))}
        if adapters is not None:
            _load_adapters(model, settings, adapters, about[lora.SECTION])
    if settings.freeze:
        freeze(model, settings.freeze)
    if settings.freeze or settings.use_lora:
        _log.info(trained_line(model))
    return about


def require_same_optimizer(recipe: Recipe, resume: str | None) -> None:
    """A run goes on with the optimizer whose state it has; what else has changed is logged.

    Args:
        recipe: of the run.
        resume: the checkpoint that it goes on from; None: there is none.

    Raises:
        ConfigError: it was trained with another one.
    """
    if resume is None:
        return
    before = read_recipe(checkpoint_config(resume))
    if before.optimizer.name != recipe.optimizer.name:
        raise ConfigError(
            [
                f"--optimizer {recipe.optimizer.name}: {resume} holds the state of "
                f"{before.optimizer.name}; go on with that, or start from its weights with "
                "--pretrained_model_path."
            ]
        )
    known = {*DESCRIPTIVE, *(field.name for field in fields(Settings))}
    old, new = (
        {key: value for key, value in one.config.items() if key not in known}
        for one in (before, recipe)
    )
    changed = [
        f"{key} {new.get(key, 'unset')} (was {old.get(key, 'unset')})"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
    if changed:
        _log.info("the configuration is another one than %s has: %s", resume, ", ".join(changed))


def growth(
    tokenizers: Mapping[str, Tokenizer], recipe: Recipe, checkpoint: str | None
) -> set[tuple[int, int]]:
    """Rows of a checkpoint's tables, and how many the tokenizers need: of those that need more.

    Args:
        tokenizers: by side.
        recipe: of the model; carries what the checkpoint knows.
        checkpoint: to start from; None: there is none.
    """
    if checkpoint is None or is_legacy_checkpoint(checkpoint):
        return set()
    olds = {side: grown_from(checkpoint, one, side) for side, one in tokenizers.items()}
    rows = {
        "src": recipe.facts.get("vocab_size")
    }  # a table may have more rows than there are tokens
    return {
        (rows.get(side) or old, tokenizers[side].vocab_size)
        for side, old in olds.items()
        if old is not None and (rows.get(side) or old) < tokenizers[side].vocab_size
    }


def told_facts(
    recipe: Recipe, facts: Mapping[str, Any], labels: Mapping[str, Any]
) -> dict[str, Any]:
    """What the data have told, for the checkpoint's configuration."""
    told = {**recipe.facts, **labels}
    return {**told, "vocab_size": facts["vocab_size"]} if "vocab_size" in told else told


def train_like(model: Model, other: Model, settings: Settings) -> None:
    """Train the parameters that another model of the same configuration trains.

    Args:
        model: changed in place.
        other: after `start`.
        settings: of the run.
    """
    if settings.use_lora:
        named = other.named_parameters()
        whole = [plain_name(name) for name, p in named if p.requires_grad and ".lora_" not in name]
        lora.adapt(model, settings, whole)
    trains = {name: parameter.requires_grad for name, parameter in other.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains.get(name, False))


def _load_adapters(model: Model, settings: Settings, path: str, about: Mapping[str, Any]) -> None:
    """Start from other adapters; what they do not hold begins anew."""
    tensors, said = read_adapters(path)
    if said is not None:
        lora.require_same(said, settings, path)
        if said["digest"] != about["digest"]:
            raise ConfigError(
                [
                    f"--lora_pretrained_model_path {path}: its differences are to the weights of "
                    f"{said['base']}, not to those of {about['base']}."
                ]
            )
    report = fill(model, tensors, path, allow_partial=True)
    if report.unexpected or report.mismatched or not report.matched:
        raise ConfigError(
            [
                f"--lora_pretrained_model_path {path}: does not fit the adapters of this run "
                f"({report.line()[:-1]}); choose --lora_r and --lora_targets as it was trained."
            ]
        )
    _log.info("%s: %s", path, report.line())
