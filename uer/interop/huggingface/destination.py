"""A model of ours as a folder that transformers opens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from uer.builder import Planner
from uer.errors import ConfigError, UserError
from uer.interop.huggingface.base import Config, Family, families
from uer.interop.huggingface.described import differences, values_of
from uer.interop.huggingface.pixels import FILE, pixels_file
from uer.interop.huggingface.sounds import sounds_file
from uer.interop.huggingface.source import CONFIG, START, as_asked, table_of
from uer.interop.huggingface.weights import write_weights
from uer.model import Model
from uer.processors._sequences import Marks

Tensors = Mapping[str, torch.Tensor]
_DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class Export:
    """A model in their terms.

    Args:
        family: what it is there.
        config: the content of config.json.
        tensors: by their names.
        left: names of ours that have no place there.
        pixels: how images become pixels there, or how sounds are read, of a family that does so.
        notes: sentences about what of it is left out.
    """

    family: Family
    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    left: list[str]
    pixels: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write config.json, what images or sounds need, and the weights."""
        for name, content in ((CONFIG, self.config), (FILE, self.pixels)):
            if content:
                text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
                (folder / name).write_text(text, encoding="utf-8")
        write_weights(self.tensors, folder)


def _image_size(theirs: Config) -> Any:
    return theirs.get("image_size") or theirs["vision_config"]["image_size"]


class _OtherTargetsError(ConfigError):
    """A family has no model with our targets."""


def export(
    config: Mapping[str, Any], weights: Tensors, special: Mapping[str, int] | None = None
) -> Export:
    """Find the family that computes what our model computes.

    A family fits if what it makes of our configuration, read back, is the same model.

    Args:
        config: our configuration.
        weights: the model's state, tied names included.
        special: ids of special tokens by role, of the tokenizer.

    Raises:
        ConfigError: no family fits; says what stands in the way of the nearest.
    """
    planner = Planner(config)
    plan = planner.section(Model)
    planner.finish(also_known=config)
    values = values_of(plan)
    facts = _facts(weights)
    with torch.device("meta"):
        model = plan.build(facts)
    about = config.get("about") or {}
    problems: dict[tuple[int, int, str], list[str]] = {}  # the least in the way comes first
    for name in _candidates(about.get("model_type")):
        family = families.get(name)()
        rank = 0
        try:
            made = _as_family(family, values, weights, list(model.heads))
            found = _problems(family, made, model, facts)
            if not found:
                family.place(made.config, _ids(family, about, special or {}, made.config))
                made.config["dtype"] = _DTYPES.get(next(iter(weights.values())).dtype, "float32")
                if kind := family.image_processor:
                    pixels, notes = pixels_file(config, kind, _image_size(made.config))
                    made.pixels.update(pixels)
                    made.notes.extend(notes)
                if kind := family.reads_sounds:
                    made.pixels.update(sounds_file(config, kind, made.config))
                return made
        except _OtherTargetsError as error:
            found, rank = error.problems, 2
        except UserError as error:  # an option, or a part that our model has not
            found, rank = getattr(error, "problems", [str(error)]), 1
        except (KeyError, RuntimeError):  # keys or shapes that are not there
            found, rank = ["its architecture is another one"], 3
        problems[rank, len(found), name] = found
    nearest = min(problems)
    shown = "; ".join(problem.rstrip(".") for problem in problems[nearest][:5])
    raise ConfigError(
        [
            f"no family of transformers is the same model; the nearest is {nearest[-1]}, but "
            f"{shown}. Keep it as a checkpoint of ours."
        ]
    )


def _facts(weights: Tensors) -> dict[str, Any]:
    """What the data had told the model, read off the weights."""
    words = {
        "embedding.vocab_size": r"embedding\.(text\.|streams\.0\.)?(parts\.word\.)?weight",
        "tgt_embedding.vocab_size": r"tgt_embedding\.((parts\.)?word\.)?weight",
        "target.vocab_size": r"targets.(mlm|lm|ngram|ctc).output.weight",
        "labels_num": "targets.cls.output.weight",
    }
    return {
        fact: weights[name].shape[0]
        for fact, pattern in words.items()
        for name in weights
        if re.fullmatch(pattern, name)
    }


def _candidates(model_type: str | None) -> list[str]:
    """Families, the likeliest first: where it came from, then those that derive from no other."""
    origin = (model_type or "").replace("-", "_")
    return sorted(families.names(), key=lambda n: (n != origin, len(families.get(n).__mro__), n))


def _as_family(family: Family, values: Config, weights: Tensors, targets: list[str]) -> Export:
    architecture = next((a for a, heads in family.heads.items() if {*heads} == {*targets}), None)
    if architecture is None:
        raise _OtherTargetsError([f"it has no model with the targets {', '.join(targets)}"])
    theirs = family.theirs(values)
    translated = table_of(family, theirs, targets).theirs(weights)
    sizes = [size for name, size in _facts(weights).items() if name.endswith("vocab_size")]
    config = {
        "architectures": [architecture],
        "model_type": family.model_type,
        **theirs,
    }
    if sizes and "vocab_size" not in config:
        family.place(config, {"vocab_size": sizes[0]})
    if "cls" in targets:
        classes = _facts(weights)["labels_num"]
        config["id2label"] = {str(n): f"LABEL_{n}" for n in range(classes)}
        config["label2id"] = {f"LABEL_{n}": n for n in range(classes)}
    tensors = translated.tensors | family.further(config, translated.tensors)
    if not targets:
        tensors = {name.removeprefix(family.prefix): tensor for name, tensor in tensors.items()}
    return Export(family, config, tensors, translated.left)


def _problems(family: Family, made: Export, model: Model, facts: Mapping[str, Any]) -> list[str]:
    """Why the export would be another model than ours.

    Raises:
        UserError: there is no such model at all.
    """
    back = as_asked({**family.ours(made.config, made.tensors), "target": list(model.heads)})
    plan = Planner(back).section(Model)
    with torch.device("meta"):
        again = plan.build(facts)
    found = differences(model, again)
    return found + [f"there is no place for {name}" for name in made.left]


def _ids(family: Family, about: Config, special: Mapping[str, int], made: Config) -> dict[str, Any]:
    """Special tokens and names of classes in config.json."""
    found: dict[str, Any] = {
        "pad_token_id": special.get("pad"),
        "bos_token_id": special.get("bos", special.get("cls")),
        "eos_token_id": special.get("eos", special.get("sep")),
    }
    if made.get("is_encoder_decoder") and "pad" in special:
        found[START] = Marks.among(special).start
    if about.get("model_type") == family.model_type:
        found |= {key: value for key, value in about.items() if key.endswith("_token_id")}
        labels = about.get("labels")
        if labels and len(labels) == len(made.get("id2label", ())):
            found["id2label"] = {str(n): label for n, label in enumerate(labels)}
            found["label2id"] = {label: n for n, label in enumerate(labels)}
    fixed = {key: value for key, value in made.items() if key.endswith("_token_id")}
    if START in found:  # no part of the model's arithmetic
        fixed.pop(START, None)
    return found | fixed
