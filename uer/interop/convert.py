"""From any kind of checkpoint to any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from uer.config import dump_yaml
from uer.errors import UserError
from uer.files import atomic_folder
from uer.interop.equivalent import (
    in_halves,
    in_pairs,
    with_layer_norms,
    with_learnt_positions,
    with_their_tables,
)
from uer.interop.huggingface.destination import Export, export
from uer.interop.huggingface.folders import is_foreign, open_folder
from uer.interop.huggingface.sentence import (
    in_both_streams,
    reads_images,
    single_stream,
    write_modules,
)
from uer.interop.huggingface.source import WORDS
from uer.interop.huggingface.tokenizer import write_tokenizer
from uer.interop.legacy.checkpoint import is_legacy_checkpoint, read_legacy, write_legacy
from uer.interop.pretrained import checkpoint_config, read_tensors, require_folder
from uer.recipe import read_recipe
from uer.tokenizers.base import Tokenizer, load
from uer.training.checkpoint import MANIFEST, save_checkpoint
from uer.training.loading import LoadReport, fill, match, require_body
from uer.training.state import Contents

Kind = Literal["uer", "huggingface", "legacy"]


@dataclass(frozen=True)
class Checkpoint:
    """A model, wherever it came from.

    Args:
        kind: of the source.
        config: in our words.
        weights: by our names, tied ones included.
        tokenizer: or None where the source has none.
        report: what became of each tensor.
        facts: what the data had told the model.
        notes: what else was left out.
        pooling: how it makes a vector of a text; None unless that is what it is for.
    """

    kind: Kind
    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    tokenizer: Tokenizer | None
    report: LoadReport
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    pooling: str | None = None


def kind_of(path: str | Path) -> Kind:
    """What a checkpoint is.

    Raises:
        CheckpointError: it is none.
    """
    if is_legacy_checkpoint(path):
        return "legacy"
    if is_foreign(path):
        return "huggingface"
    require_folder(path)
    return "uer"


def read_checkpoint(
    path: str | Path,
    *,
    config_path: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    tokenizer: Tokenizer | None = None,
) -> Checkpoint:
    """Read a checkpoint of any kind.

    Args:
        path: the file or folder.
        config_path: configuration of a file of the predecessors, which carries none.
        overrides: keys that win over it, such as the target of a fine-tuned model.
        tokenizer: to go with the weights, where the source has none or another one is wanted.

    Raises:
        CheckpointError: it is no checkpoint, is damaged, or its weights do not fit its
            configuration.
        ConfigError: it is a model that we do not have.
        UserError: the configuration is missing, or one is given that is not needed.
    """
    kind = kind_of(path)
    if kind != "legacy" and config_path is not None:
        raise UserError(f"{path} carries its own configuration; leave --config_path out.")
    if kind == "legacy":
        return _legacy(path, config_path, overrides, tokenizer)
    notes: tuple[str, ...] = ()
    config = checkpoint_config(path)
    if kind == "uer":
        targets = read_recipe(config).model.parts.get("target") or []
        names = [plan.name for plan in targets] if isinstance(targets, list) else []
        found = read_tensors(path, names, dual=config.get("encoder") == "dual")
        own = load(Path(path) / "tokenizer") if (Path(path) / "tokenizer").is_dir() else None
    else:
        folder = open_folder(path)
        found = folder.tensors(folder.targets)
        own = folder.tokenizer() if folder.has_tokenizer() else None
        notes = tuple(folder.notes())
        if config.get("encoder") == "dual":
            found = in_both_streams(found)
    return matched(kind, config, found, tokenizer or own, path, notes)


def write_checkpoint(made: Checkpoint, path: str | Path, kind: Kind) -> list[str]:
    """Write a checkpoint; it appears whole or not at all.

    Args:
        made: what to write.
        path: what is not there yet; of kind uer also an older checkpoint of ours.
        kind: how it is written.

    Returns:
        Sentences about what was left out.

    Raises:
        ConfigError: there is no such model in the destination's world.
        UserError: the place cannot be written, or holds something else.
    """
    if kind == "uer":
        save = None if made.tokenizer is None else made.tokenizer.save
        contents = Contents(config=dump_yaml(made.config), save_tokenizer=save)
        save_checkpoint(path, made.weights, contents)
        return []
    if kind == "legacy":
        return _write_legacy(made, path)
    if (Path(path) / MANIFEST).is_file():  # one of ours, which has more to lose
        raise UserError(f"{path} is a checkpoint of ours; choose another path, or move it.")
    made = _one_of_twins(made)
    exported, config, notes = as_theirs(made)
    with atomic_folder(path, MANIFEST) as scratch:
        exported.write(scratch)
        notes = [*notes, *exported.notes]
        if made.pooling is not None:
            write_modules(scratch, made.pooling, exported.config)
        if made.tokenizer is None:
            return [*notes, "there is no tokenizer to write."]
        longest = config.get("max_seq_length")
        return [*notes, *write_tokenizer(made.tokenizer, scratch, longest)]


def as_theirs(made: Checkpoint) -> tuple[Export, dict[str, Any], list[str]]:
    """A model in the terms of transformers.

    Returns:
        It, the configuration of ours that it is translated from, and sentences about what was left
        out.

    Raises:
        ConfigError: there is no such model.
    """
    made = _one_of_twins(made)
    special = made.tokenizer.special if made.tokenizer else {}
    config, weights, notes = _alone(made.config, made.weights)
    config, weights = in_halves(*with_layer_norms(config, weights))
    if list(config.get("target") or ()) == ["cls"]:
        config, weights = with_learnt_positions(config, weights)
    return export(config, weights, special), config, notes


def _one_of_twins(made: Checkpoint) -> Checkpoint:
    """A model of pairs of texts as the model that it is twice; all others as they are."""
    if made.config.get("encoder") != "dual" or reads_images(made.config):
        return made
    return replace(made, **single_stream(made.config, made.weights))


def _write_legacy(made: Checkpoint, path: str | Path) -> list[str]:
    """A file of the predecessors, which holds the weights alone."""
    place = Path(path)
    if place.exists():
        raise UserError(f"{path} exists; choose another path, or move it.")
    config, weights = with_their_tables(*in_pairs(made.config, made.weights))
    recipe = read_recipe(config)
    model = recipe.model.build({**made.facts, **recipe.facts})
    fill(model, weights, path)
    notes = write_legacy(model, place)
    return [*notes, f"{path} holds weights alone: keep the configuration and the vocabulary."]


def _alone(
    config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor], list[str]]:
    """A model without the one that is trained beside it, and a sentence if there was one."""
    found = {key: value for key, value in config.items() if key != "generator"}
    kept = {name: tensor for name, tensor in weights.items() if ".generator." not in name}
    left = len(weights) - len(kept)
    notes = [f"the generator is a model of its own and is left out: {left} tensors."]
    return found, kept, notes if left else []


def _legacy(
    path: str | Path,
    config_path: str | None,
    overrides: Mapping[str, Any] | None,
    tokenizer: Tokenizer | None,
) -> Checkpoint:
    if config_path is None:
        raise UserError(
            f"{path} is a checkpoint of the predecessors, which says nothing about its model; "
            "give --config_path."
        )
    recipe = read_recipe(config_path, overrides, dialect="legacy")
    found = read_legacy(path)
    facts = _vocabulary(found)
    if "targets.cls.output.weight" in found:
        facts["labels_num"] = found["targets.cls.output.weight"].shape[0]
    config = {**recipe.config, "facts": {**recipe.facts, **facts}}
    return matched("legacy", config, found, tokenizer, path, tuple(recipe.notes))


def matched(
    kind: Kind,
    config: dict[str, Any],
    found: Mapping[str, torch.Tensor],
    tokenizer: Tokenizer | None,
    path: str | Path,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """A checkpoint of tensors by our names, once they are found to fit the configuration.

    Raises:
        CheckpointError: they do not.
    """
    recipe = read_recipe(config)
    tokens = {} if tokenizer is None else tokenizer.facts()
    facts = {**tokens, **_vocabulary(found), **recipe.facts}
    with torch.device("meta"):
        model = recipe.model.build(facts)
    report, weights = match(model, found, path)
    require_body(path, report, partly=False)
    return Checkpoint(kind, recipe.config, weights, tokenizer, report, facts, notes)


def _vocabulary(found: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """How many tokens the first word table has rows for; a model that hears has one target side."""
    sizes = [found[name].shape[0] for name in WORDS if name in found]
    return {"vocab_size": sizes[0]} if sizes else {}


def with_tables(
    made: Checkpoint, resized: tuple[dict[str, Any], dict[str, torch.Tensor]]
) -> Checkpoint:
    """The same checkpoint with other tables, see `uer.interop.resize`."""
    return replace(made, config=resized[0], weights=resized[1])
