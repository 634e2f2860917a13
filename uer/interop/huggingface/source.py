"""A folder of Hugging Face's transformers as a source of configuration and weights."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from uer.builder import Planner, build
from uer.errors import ConfigError, DataError
from uer.interop.huggingface.base import Config, Family, family_of
from uer.interop.huggingface.names import Names
from uer.interop.huggingface.pixels import USUAL, read_pixels
from uer.interop.huggingface.sounds import read_sounds
from uer.interop.huggingface.weights import FolderWeights, read_json
from uer.model import Model
from uer.processors._sequences import Marks
from uer.tokenizers.base import Tokenizer

_log = logging.getLogger(__name__)

CONFIG, START = "config.json", "decoder_start_token_id"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
WORDS = (
    "embedding.parts.word.weight",
    "embedding.weight",
    "embedding.streams.0.parts.word.weight",
    "embedding.streams.0.weight",
    "tgt_embedding.parts.word.weight",
)


class HuggingFaceFolder:
    """A model that transformers saved.

    Args:
        path: the folder.

    Attributes:
        theirs: the content of config.json.
        family: what it is.
        weights: its tensors by the names they have in the model with heads, read lazily.
        architecture: the model's class in transformers.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: the family is not known, or the weights are quantized.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        source = self.path / CONFIG
        theirs = read_json(source)
        self.family = family_of(theirs, source)
        self.theirs = self.family.named(theirs)
        _require_plain(self.theirs, source)
        stored = FolderWeights(self.path)
        self.architecture = _architecture(self.family, self.theirs, stored)
        self.targets = self.family.heads.get(self.architecture, ())
        self.weights = _Whole(stored, self.family, self.theirs)

    def config(self, targets: Sequence[str] | None = None) -> dict[str, Any]:
        """The configuration of ours that means the same.

        Args:
            targets: of the model, where it is to have others than the folder's.

        Raises:
            ConfigError: it uses an option that we do not have.
        """
        try:
            made = self.family.ours(self.theirs, self.weights)
        except ConfigError as error:
            raise ConfigError(error.problems, self.path / CONFIG) from None
        targets = self.targets if targets is None else targets
        if [*targets] == ["cls"]:
            made |= self.family.classifier
        asked = as_asked({"about": kept(self.theirs), **made, "target": list(targets)})
        found = {**self.family.processor(targets), **asked}
        if kind := self.family.image_processor:
            size = (made["image_height"], made["image_width"])
            pixels = read_pixels(self.path, kind, size, stretches=self.family.stretches)
            said = pixels.keys.items()
            found |= {key: value for key, value in said if key in found or value != USUAL.get(key)}
            for note in pixels.notes:
                _warn_once(f"{self.path}: images: {note}")
        if kind := self.family.reads_sounds:
            found |= read_sounds(self.path, kind, self.theirs)
        return found | {"facts": self._facts()}

    def tensors(self, targets: Sequence[str]) -> dict[str, torch.Tensor]:
        """Its tensors by our names; those without a counterpart keep theirs.

        Args:
            targets: those of the model that will hold them.

        Raises:
            CheckpointError: tensors that are one here differ.
        """
        table = table_of(self.family, self.theirs, targets)
        return table.ours(self.weights, without=_other_heads(targets))

    def name_in_whole(self, name: str) -> str:
        """What the model with heads calls a tensor, which may be named as in the body alone."""
        names = table_of(self.family, self.theirs, _every_target(self.family))
        return _present(name, names, self.family.prefix)

    def has_tokenizer(self) -> bool:
        """There are files of a tokenizer, of a kind that is known here."""
        return self._foreign_tokenizer() is None and (
            any((self.path / name).is_file() for name in _TOKENIZER)
            or any(self.path.glob("*.model"))
        )

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer, of the kind that its files are for.

        What its decoder starts with has the role that says so here.

        Raises:
            DataError: there is none, or its files are damaged.
        """
        made = build(Tokenizer, "hfpretrained", vocab_path=str(self.path))
        start = self.theirs.get(START, self.family.decoder_start)
        if self.family.decoder_start is None or start == Marks.among(made.special).start:
            return made
        if not 0 <= start < made.vocab_size:
            raise DataError(
                f"{START}: the tokenizer has {made.vocab_size} tokens, and none has the id "
                f"{start}.",
                self.path / CONFIG,
            )
        roles = {**made.roles(), "cls": made.vocabulary[start]}
        return build(Tokenizer, "hfpretrained", vocab_path=str(self.path), special_tokens=roles)

    def notes(self) -> list[str]:
        """A sentence about what is left out."""
        found = []
        if (what := self._foreign_tokenizer()) is not None:
            found.append(f"its tokenizer has {what}, which ours have not, and is left out.")
        if self.theirs.get("problem_type") not in (None, "single_label_classification"):
            found.append(
                f"problem_type: {self.theirs['problem_type']!r} has no counterpart here and is "
                "left out; the classifier here gives each text one class."
            )
        if self.architecture in self.family.heads:
            return found
        known = ", ".join(self.family.heads)
        return [
            *found,
            f"{self.architecture}: its head has no counterpart here and is left out; known are "
            f"{known}.",
        ]

    def _foreign_tokenizer(self) -> str | None:
        """What its tokenizer does that we do not have."""
        path = self.path / "tokenizer_config.json"
        if (self.path / "tokenizer.json").is_file() or not path.is_file():
            return None
        codes = read_json(path).get("lang_codes")
        return None if codes is None else f"languages to choose from ({codes})"

    def _facts(self) -> dict[str, Any]:
        found = self.tensors(self.targets)
        sizes = [found[name].shape[0] for name in WORDS if name in found]
        speaks = self.family.reads_text or "ctc" in self.targets
        facts = {"vocab_size": next(iter(sizes), self.theirs.get("vocab_size"))} if speaks else {}
        return facts | {"labels_num": _classes(self.theirs)} if "cls" in self.targets else facts


@functools.cache
def _warn_once(sentence: str) -> None:
    _log.warning(sentence)


def _other_heads(targets: Sequence[str]) -> re.Pattern[str]:
    """Names of ours that belong to targets which the model does not have."""
    return re.compile(rf"targets\.(?!({'|'.join(targets) or '-'})\.).*")


def table_of(family: Family, theirs: Config, targets: Sequence[str]) -> Names:
    """The family's table of names for a model with these targets."""
    return Names(family.names(theirs, targets), family.ignored)


def as_asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the keys that no part of this model asks for.

    A family's table speaks of all its heads; a model without one has no use for its keys.
    """
    planner = Planner(config)
    planner.section(Model)
    asked = {*planner.asked(), "about", "task", "data_processor"}
    return {key: config[key] for key in config if key in asked}


def kept(theirs: Config) -> dict[str, Any]:
    """What our configuration carries along for the way back: the family, ids, names of classes."""
    every = {**(theirs.get("text_config") or {}), **theirs}
    ids = {k: v for k, v in every.items() if k.endswith("_token_id") and v is not None}
    found: dict[str, Any] = {"model_type": theirs["model_type"], **ids}
    labels = theirs.get("id2label")
    if labels:
        found["labels"] = [labels[key] for key in sorted(labels, key=int)]
    return found


def _classes(theirs: Config) -> int:
    return len(theirs.get("id2label") or ()) or theirs.get("num_labels", 2)


def _require_plain(theirs: Config, source: Path) -> None:
    """Refuse what makes the tensors of a folder other numbers than the model's, or is damaged.

    Raises:
        ConfigError: the weights are quantized, or classes have no numbers.
    """
    if theirs.get("quantization_config"):
        raise ConfigError(
            [
                "quantization_config: quantized weights are not supported here; take the folder "
                "of the model before it was quantized."
            ],
            source,
        )
    labels = theirs.get("id2label") or {}
    if not all(str(number).isdecimal() for number in labels):
        raise ConfigError(
            [f"id2label: {labels!r} does not map numbers to names of classes."], source
        )


def _architecture(family: Family, theirs: Config, stored: Mapping[str, Any]) -> str:
    """What config.json says, else the model with the heads whose output layers are there.

    A language model's output layer may be the word table; then the body's names tell.
    """
    named = theirs.get("architectures") or []
    if named:
        return named if isinstance(named, str) else str(named[0])
    names = table_of(family, theirs, _every_target(family))
    ours = " ".join(name for one in stored for name in names.names(one))
    there = set(re.findall(r"targets\.(\w+)\.output", ours))
    if not there and any(name.startswith(family.prefix) for name in stored):
        there = {"lm", "ngram"}
    possible = [name for name, targets in family.heads.items() if there.issuperset(targets)]
    return max(possible or family.heads, key=lambda name: len(family.heads[name]))


def _every_target(family: Family) -> list[str]:
    return sorted({name for heads in family.heads.values() for name in heads})


def _present(name: str, names: Names, prefix: str) -> str:
    """What a model with heads calls a tensor today; norms were written in TensorFlow's words."""
    new = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    new = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", new)
    return prefix + new if not names.known(new) and names.known(prefix + new) else new


class _Whole(Mapping[str, torch.Tensor]):
    """Tensors by the names of the model with heads, also where the body was saved alone."""

    def __init__(self, stored: Mapping[str, torch.Tensor], family: Family, theirs: Config) -> None:
        names = table_of(family, theirs, _every_target(family))
        self._stored = stored
        self._names = {_present(name, names, family.prefix): name for name in stored}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._stored[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
