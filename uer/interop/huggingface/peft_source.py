"""Low-rank adapters of the library peft as a source: `uer convert` reads its folders.

Such a folder holds ``adapter_config.json`` and ``adapter_model.safetensors``: A and B of every
map by the name that it has in the model of transformers. What is one map there and several here
(GPT-2's ``c_attn``) shares A there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from uer.config import dump_yaml
from uer.errors import CheckpointError, ConfigError
from uer.interop.convert import matched
from uer.interop.huggingface.names import Fused, Names
from uer.interop.huggingface.source import HuggingFaceFolder, table_of
from uer.interop.huggingface.weights import ADAPTERS_CONFIG, adapter_tensors, read_json
from uer.interop.pretrained import read_tensors
from uer.training.checkpoint import MANIFEST, save_checkpoint
from uer.training.lora import DOWN, SECTION, UP, digest
from uer.training.state import Contents

Tensors = Mapping[str, torch.Tensor]
PREFIX = "base_model.model."  # what peft puts before every name
_PLAIN = {  # options that make of A and B something else than alpha / r · B·A
    "peft_type": ("LORA",),
    "use_dora": (None, False),
    "lora_bias": (None, False),
    "bias": (None, "none"),
    "init_lora_weights": (None, True, False, "gaussian", "orthogonal", "eva"),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None,),
}


@dataclass(frozen=True)
class Adapter:
    """Adapters of one linear map of theirs.

    Args:
        down: [r, in] A.
        up: [out, r] B.
        scale: what the product is multiplied by.
        turned: the map's weights are stored as [in, out].
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float
    turned: bool = False


def is_peft(path: str | Path) -> bool:
    """A folder of peft: adapters without the model that they belong to."""
    root = Path(path)
    if not (root / ADAPTERS_CONFIG).is_file() or (root / MANIFEST).is_file():
        return False
    return not any(root.glob("model*.safetensors")) and not any(root.glob("pytorch_model*.bin"))


def read_peft(path: str | Path, destination: str | Path) -> list[str]:
    """Write a folder of peft as a checkpoint of adapters.

    Args:
        path: the folder; ``base_model_name_or_path`` of its configuration says where the model is
            that they belong to: a folder of transformers.
        destination: where.

    Returns:
        Sentences about what it is.

    Raises:
        CheckpointError: a file is missing or damaged, or they do not fit.
        ConfigError: peft does with them what we do not have.
    """
    config = read_json(Path(path) / ADAPTERS_CONFIG)
    _require_plain(config, Path(path) / ADAPTERS_CONFIG)
    folder = HuggingFaceFolder(_base(config, path))
    found = adapter_tensors(Path(path))
    targets = _targets(folder, found)
    table = table_of(folder.family, folder.theirs, targets)
    base = read_tensors(folder.path, targets, dual=False)
    maps, own = _our_maps(folder, table, config, found, base)
    if not maps:
        raise CheckpointError(f"{path} holds no adapters of linear maps.")
    rank = max(one.down.shape[0] for one in maps.values())
    alpha = next(iter(maps.values())).scale * rank
    state = dict(own)
    for name, one in maps.items():
        missing = rank - one.down.shape[0]
        factor = one.scale * rank / alpha
        up = one.up if math.isclose(factor, 1.0, rel_tol=1e-9) else one.up * factor
        state[name + DOWN] = torch.nn.functional.pad(one.down, (0, 0, 0, missing))
        state[name + UP] = torch.nn.functional.pad(up, (0, missing))
    made = folder.config(targets)
    if any(name.startswith("targets.cls.output.weight") for name in own):
        classes = own["targets.cls.output.weight"].shape[0]
        made = {**made, "facts": {**made.get("facts", {}), "labels_num": classes}}
    tokenizer = folder.tokenizer() if folder.has_tokenizer() else None
    whole = matched("huggingface", made, {**base, **own}, tokenizer, path)
    about = {
        "base": str(folder.path.resolve()),
        "digest": digest(base, state),
        "r": rank,
        "alpha": alpha,
        "dropout": config.get("lora_dropout") or 0.0,
        "targets": sorted(maps),
        "modules_to_save": sorted(name for name in own if name in base) or None,
    }
    contents = Contents(
        config=dump_yaml({**whole.config, SECTION: about}),
        save_tokenizer=None if tokenizer is None else tokenizer.save,
    )
    save_checkpoint(destination, state, contents)
    notes = [f"{len(maps)} maps of rank {rank}, beside the weights of {folder.path}"]
    return [*notes, f"of the whole: {whole.report.line()}"]


def is_turned(fused: Fused, sizes: Sequence[int]) -> bool:
    """Whether a map's weights are stored as [in, out] there; seen at one column."""
    return fused.join([torch.zeros(size, 1) for size in sizes]).shape[0] == 1


def _our_maps(
    folder: HuggingFaceFolder,
    table: Names,
    config: Mapping[str, Any],
    found: Tensors,
    base: Tensors,
) -> tuple[dict[str, Adapter], dict[str, torch.Tensor]]:
    """Adapters by the names of our maps, and what is trained whole.

    Raises:
        CheckpointError: a tensor has no place here.
    """
    maps, own = dict[str, Adapter](), dict[str, torch.Tensor]()
    for key, tensor in found.items():
        name = key.removeprefix(PREFIX)
        if name.endswith(".lora_B.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        if module == name:
            theirs = folder.name_in_whole(name)
            ours = table.ours({theirs: tensor})
            if theirs in ours and not table.names(theirs):
                raise CheckpointError(f"{folder.path}: {key} has no place in a model of ours.")
            own |= ours
            continue
        theirs = folder.name_in_whole(module + ".weight")
        part = table.parts(theirs)
        up = found.get(key.replace(".lora_A.", ".lora_B."))
        if part is None or up is None:
            lacking = "there is no B beside it" if up is None else "has no place in a model of ours"
            raise CheckpointError(f"{key}: {lacking}.")
        names, fused = part
        sizes = [base[one].shape[0] for one in names if one in base]
        if len(sizes) < len(names) or sum(sizes) != up.shape[0]:
            raise CheckpointError(f"{key} does not fit the weights of {folder.path}.")
        if tensor.shape[1] != base[names[0]].shape[1]:
            raise CheckpointError(f"{key} does not fit the weights of {folder.path}.")
        turned = is_turned(fused, sizes)
        scale = _scale(config, module, tensor.shape[0])
        for one, rows in zip(names, fused.split(up.t() if turned else up), strict=True):
            maps[one.removesuffix(".weight")] = Adapter(tensor, rows.contiguous(), scale)
    return maps, own


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What B·A is multiplied by."""
    patterns = (config.get("alpha_pattern") or {}).items()
    own = (value for key, value in patterns if re.match(rf"(.*\.)?({key})$", module))
    alpha = next(own, config.get("lora_alpha", 8))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _require_plain(config: Mapping[str, Any], path: Path) -> None:
    problems = [
        f"{key}: {config[key]!r} is an option that is not supported here."
        for key, values in _PLAIN.items()
        if config.get(key) not in values
    ]
    if problems:
        raise ConfigError(problems, path)


def _base(config: Mapping[str, Any], path: str | Path) -> Path:
    """The folder of the model that adapters belong to; what is not absolute is meant from theirs.

    Raises:
        CheckpointError: it is not there.
    """
    named = config.get("base_model_name_or_path")
    places = [Path(path) / named, Path(named)] if named else []
    found = next((place for place in places if (place / "config.json").is_file()), None)
    if found is None:
        raise CheckpointError(
            f"{path} holds low-rank differences to the weights of {named or 'a model without name'}"
            f", which are not there; write the folder of that model into "
            f"{Path(path) / ADAPTERS_CONFIG} (base_model_name_or_path)."
        )
    return found


def _targets(folder: HuggingFaceFolder, found: Tensors) -> Sequence[str]:
    """The heads of the model: the folder's own, or a classifier that was trained beside."""
    known = {target for heads in folder.family.heads.values() for target in heads}
    names = [name.removeprefix(PREFIX) for name in found if ".lora_" not in name]
    if "cls" in known and "cls" not in folder.targets:
        table = table_of(folder.family, folder.theirs, ["cls"])
        if any("targets.cls.output.weight" in table.names(name) for name in names):
            return ("cls",)
    return folder.targets
