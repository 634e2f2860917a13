"""Folders of sentence-transformers: a model, and how its states become the vector of a text.

Here that is a dual model whose streams are one (Sentence-BERT, arXiv:1908.10084).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from uer.errors import CheckpointError, ConfigError
from uer.interop.huggingface.source import HuggingFaceFolder, as_asked
from uer.interop.huggingface.weights import read_json
from uer.tokenizers.base import Tokenizer

MODULES = "modules.json"
_POOLING, _NORMALIZE = "1_Pooling", "2_Normalize"
_STREAMS = ("embedding", "encoder")
# Their switches and our ways of pooling; the others are not here.
_WAYS = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_NAMES = {"cls": "first", "mean": "mean", "max": "max", "lasttoken": "last"}


class SentenceFolder:
    """A folder of sentence-transformers; it reads like a `HuggingFaceFolder`.

    Args:
        path: the folder.

    Attributes:
        single: the model that both streams are.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: it holds a module that we do not have.
    """

    targets = ("clr",)

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        modules = _modules(self.path / MODULES)
        found = {kind: place for kind, place in modules if kind in ("Transformer", "Pooling")}
        others = [kind for kind, _ in modules if kind not in (*found, "Normalize")]
        problems = [
            f"there is no module {n}." for n in ("Transformer", "Pooling") if n not in found
        ]
        problems += [f"the module {kind} is not supported here." for kind in others]
        if problems:
            raise ConfigError(problems, self.path / MODULES)
        self.single = HuggingFaceFolder(self.path / found["Transformer"])
        self._pooling = _pooling(self.path / found["Pooling"] / "config.json")

    def config(self) -> dict[str, Any]:
        """The configuration of ours that means the same."""
        shared = {**self.single.config(), "target": ["clr"]}
        stream = {key: shared.pop(key) for key in _STREAMS}
        facts = shared.pop("facts")
        dual = dict.fromkeys(_STREAMS, "dual")
        streams = {"tie_streams": True, "stream_0": stream, "stream_1": dict(stream)}
        made = {**shared, **dual, **streams, "pooling": self._pooling, "tie_weights": False}
        return {**as_asked(made), "facts": {"vocab_size": facts["vocab_size"]}}

    def tensors(self, targets: Sequence[str]) -> dict[str, torch.Tensor]:
        """See `HuggingFaceFolder.tensors`: those of one stream, or of a model that is no dual."""
        return self.single.tensors(targets)

    def has_tokenizer(self) -> bool:
        """There are files of a tokenizer."""
        return self.single.has_tokenizer()

    def tokenizer(self) -> Tokenizer:
        """See `HuggingFaceFolder.tokenizer`."""
        return self.single.tokenizer()

    def notes(self) -> list[str]:
        """See `HuggingFaceFolder.notes`."""
        return self.single.notes()


def in_both_streams(found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A single model's tensors, under the names of both streams of a dual one."""
    made = {}
    for name, tensor in found.items():
        part, _, rest = name.partition(".")
        if part in _STREAMS and not rest.startswith("streams."):  # CLIP's has both
            made |= {f"{part}.streams.{stream}.{rest}": tensor for stream in (0, 1)}
        else:
            made[name] = tensor
    return made


def reads_images(config: Mapping[str, Any]) -> bool:
    """Of a dual model: its second stream reads images, so it is no pair of texts."""
    embedding = (config.get("stream_1") or {}).get("embedding")
    return "patch" in (embedding if isinstance(embedding, list) else [embedding])


def single_stream(config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """A dual model whose streams are one, as the model that it is twice.

    Returns:
        Its ``config``, ``weights`` and ``pooling``.

    Raises:
        ConfigError: the streams differ, or are projected.
    """
    problems = []
    if not config.get("tie_streams"):
        problems.append("tie_streams: a folder of transformers has one encoder for both streams.")
    if any(".projections." in name for name in weights):
        problems.append("feature_size: there is no counterpart of the projection.")
    if problems:
        raise ConfigError(problems)
    aside = (*_STREAMS, "stream_0", "stream_1", "tie_streams", "pooling", "pooling_1", "target")
    single = {key: value for key, value in config.items() if key not in aside}
    config_of_one = as_asked({**single, **config["stream_0"], "target": []})
    found = {
        name.replace(".streams.0.", "."): tensor
        for name, tensor in weights.items()
        if ".streams.0." in name
    }
    return {
        "config": {**config_of_one, "facts": config.get("facts") or {}},
        "weights": found,
        "pooling": config.get("pooling", "first"),
    }


def write_modules(folder: Path, pooling: str, theirs: Mapping[str, Any]) -> None:
    """Write what makes a folder of transformers one of sentence-transformers.

    The vectors have unit length, as those that the target ``clr`` compares.

    Args:
        folder: the folder.
        pooling: ours.
        theirs: the content of config.json.
    """
    package = "sentence_transformers.models"
    kinds = (("", "Transformer"), (_POOLING, "Pooling"), (_NORMALIZE, "Normalize"))
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"{package}.{kind}"}
        for number, (path, kind) in enumerate(kinds)
    ]
    width = theirs.get("hidden_size", theirs.get("n_embd", theirs.get("d_model")))
    switches = {switch: ours == pooling for switch, ours in _WAYS.items()}
    for place in (_POOLING, _NORMALIZE):
        (folder / place).mkdir()
    _write(folder / MODULES, modules)
    _write(folder / _POOLING / "config.json", {"word_embedding_dimension": width, **switches})


def _modules(path: Path) -> list[tuple[str, str]]:
    """Kind and place of each module."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return [(one["type"].rpartition(".")[2], one["path"]) for one in stored]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} names no modules; copy or download the folder again.") from (
            error
        )


def _pooling(path: Path) -> str:
    stored = read_json(path)
    ways = [_WAYS.get(key) for key, on in stored.items() if key.startswith("pooling_mode_") and on]
    ways = [_NAMES.get(stored["pooling_mode"])] if "pooling_mode" in stored else ways
    if len(ways) != 1 or ways[0] is None:
        known = ", ".join(_NAMES)
        raise ConfigError([f"pooling_mode: exactly one of {known} is supported here."], path)
    return ways[0]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
