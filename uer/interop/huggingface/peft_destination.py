"""Low-rank adapters of ours as a folder of the library peft; see `peft_source` for its format.

What are several maps here and one there becomes one of all their ranks together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from uer.errors import ConfigError, UserError
from uer.files import atomic_folder
from uer.interop.adapters import adapters_of, base_of
from uer.interop.convert import as_theirs, read_checkpoint
from uer.interop.huggingface.folders import is_foreign
from uer.interop.huggingface.names import Names
from uer.interop.huggingface.peft_source import PREFIX, Adapter, Tensors, is_turned
from uer.interop.huggingface.source import table_of
from uer.interop.huggingface.weights import ADAPTERS, ADAPTERS_CONFIG, write_file
from uer.interop.pretrained import require_folder
from uer.training.checkpoint import MANIFEST, read_weights
from uer.training.lora import DOWN, UP, adapted


def write_peft(source: str | Path, destination: str | Path) -> list[str]:
    """Write a checkpoint's adapters as a folder of peft; it appears whole or not at all.

    Args:
        source: a checkpoint of a run with adapters.
        destination: what is not there yet.

    Returns:
        Sentences about how it is used.

    Raises:
        UserError: there are no adapters, or the place cannot be written.
        ConfigError: transformers have no such model, or peft no such adapters.
    """
    about = adapters_of(require_folder(source))
    if about is None:
        raise UserError(f"{source} holds a whole model and no adapters; leave --to peft out.")
    own, whole = read_weights(source), read_checkpoint(source)
    exported, config, _ = as_theirs(whole)
    targets = list(config.get("target") or ())
    table = table_of(exported.family, exported.config, targets)
    bare = "" if targets else exported.family.prefix  # the body alone is named without it
    _require_same_rows(adapted(own), table, whole.weights, exported.tensors, bare)
    trained = {k: v for k, v in own.items() if not k.endswith((DOWN, UP))}
    modules, tensors = _trained_whole(trained, table, exported.tensors, bare)
    maps = {n.removeprefix(bare): one for n, one in _their_maps(table, own, about["alpha"])}
    for name, one in maps.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = one.down
        tensors[f"{PREFIX}{name}.lora_B.weight"] = one.up
    base = base_of(source, about)
    config = _written(maps, modules, about["dropout"], base if is_foreign(base) else None)
    with atomic_folder(destination, MANIFEST) as scratch:
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (scratch / ADAPTERS_CONFIG).write_text(text, encoding="utf-8")
        write_file(tensors, scratch / f"{ADAPTERS}.safetensors")
    notes = [f"{len(maps)} maps of {exported.config['architectures'][0]}"]
    if not is_foreign(base):
        notes.append(f"their base goes with them by `uer convert {base} …`")
    return notes


def _their_maps(table: Names, own: Tensors, alpha: float) -> Iterator[tuple[str, Adapter]]:
    """Adapters by the names of their maps.

    Raises:
        ConfigError: a map has no counterpart.
    """
    done: set[str] = set()
    for name in adapted(own):
        found = table.counterpart(name)
        if found is None:
            raise ConfigError([f"{name} has no counterpart in transformers; use `uer merge-lora`."])
        theirs, ours, fused = found
        if theirs in done:
            continue
        done.add(theirs)
        modules = [one.removesuffix(".weight") for one in ours]
        there = [one for one in modules if one + DOWN in own]
        sizes = dict.fromkeys(modules, own[there[0] + UP].shape[0])
        sizes |= {one: own[one + UP].shape[0] for one in there}
        if len(modules) > len(there) > 0 and len({sizes[one] for one in there}) > 1:
            raise ConfigError([f"{theirs}: adapt all of {', '.join(modules)}, or use merge-lora."])
        ranks = [own[one + DOWN].shape[0] for one in there]
        ups, start = {one: torch.zeros(sizes[one], sum(ranks)) for one in modules}, 0
        for one, rank in zip(there, ranks, strict=True):
            ups[one][:, start : start + rank] = own[one + UP]
            start += rank
        turned = is_turned(fused, list(sizes.values()))
        up = fused.join([ups[one] for one in modules])
        down = torch.cat([own[one + DOWN] for one in there])
        yield (
            theirs.removesuffix(".weight"),
            Adapter(down, up.t() if turned else up, alpha / ranks[0], turned),
        )


def _require_same_rows(
    names: Sequence[str], table: Names, ours: Tensors, theirs: Tensors, bare: str
) -> None:
    """Refuse adapters of maps whose rows have another order there.

    Raises:
        ConfigError: they have.
    """
    for name in names:
        found = table.counterpart(name)
        if found is not None:
            there = theirs[found[0].removeprefix(bare)]
            if not torch.equal(found[2].join([ours[one] for one in found[1]]), there):
                raise ConfigError(
                    [
                        f"{name}: its rows have another order in transformers (rotary positions), "
                        "in which adapters cannot be written; merge them with `uer merge-lora`."
                    ]
                )


def _trained_whole(
    trained: Tensors, table: Names, theirs: Tensors, bare: str
) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Modules of theirs that are trained whole, and their tensors.

    Raises:
        ConfigError: only a part of a module is, or it shares its weights with another.
    """
    places = {name: table.counterpart(name) for name in trained}
    named = {name: found[0].removeprefix(bare) for name, found in places.items() if found}
    there = {one for one in named.values() if one in theirs}
    modules = sorted({one.rpartition(".")[0] for one in there})
    odd = [name for name in trained if named.get(name) not in there]
    odd += [one for one in theirs if one.rpartition(".")[0] in modules and one not in there]
    if odd:
        raise ConfigError(
            [
                "peft trains a module whole or not at all, and none that shares its weights: "
                f"{odd[0]} cannot be written; merge the adapters with `uer merge-lora`."
            ]
        )
    return modules, {f"{PREFIX}{one}": theirs[one] for one in sorted(there)}


def _written(
    maps: Mapping[str, Adapter], modules: Sequence[str], dropout: float, base: str | None
) -> dict[str, Any]:
    """The content of adapter_config.json."""
    first = next(iter(maps.values()))
    rank = first.down.shape[0]
    other = {name: one for name, one in maps.items() if one.down.shape[0] != rank}
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": first.scale * rank,
        "lora_dropout": dropout,
        "rank_pattern": {name: one.down.shape[0] for name, one in other.items()},
        "alpha_pattern": {name: one.scale * one.down.shape[0] for name, one in other.items()},
        "target_modules": sorted(maps),
        "modules_to_save": list(modules) or None,
        "fan_in_fan_out": any(one.turned for one in maps.values()),
        "bias": "none",
        "inference_mode": True,
    }
