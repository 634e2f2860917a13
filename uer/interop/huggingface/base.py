"""What a family of Hugging Face models says about itself.

A family is one file; its name is the ``model_type`` of config.json (``xlm_roberta`` for
``xlm-roberta``). It holds three tables, each used in both directions: keys of config.json and ours,
names of tensors and ours, architectures and our targets. Code is for what no table can say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch

from uer.errors import ConfigError
from uer.interop.huggingface.names import Table
from uer.registry import Registry

Config = Mapping[str, Any]

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_fast",
    "gelu_pytorch_tanh": "gelu_fast",
    "gelu_fast": "gelu_fast",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "linear": "linear",
}
NOT = {True: False, False: True}
# Language models classify by a linear map of the last token's states.
SCORE_HEAD = {"pooling": "last", "classifier_hidden": False, "classifier_bias": False}


class Key(NamedTuple):
    """A key of config.json and the key of ours that means the same.

    Args:
        theirs: their key.
        ours: our key; ``<slot>_<key>`` where it is for one slot only.
        default: their value where config.json does not say it.
        choices: their values → ours, where they are spelt differently.
    """

    theirs: str
    ours: str
    default: Any = None
    choices: Mapping[Any, Any] | None = None


class Family(ABC):
    """Models of one architecture.

    Attributes:
        parts: the part of our configuration that all its models share.
        keys: what differs from model to model.
        defaults: of theirs that differ from those the keys state.
        demanded: options of theirs that we know with one value only.
        heads: our targets by their name of the model with these heads; the model without comes
            first.
        prefix: what the names of the body begin with in models with heads.
        ignored: names of tensors that hold nothing learnt.
        aliases: other names of keys of theirs, which transformers reads too.
        classifier: what our configuration of its classifier says besides.
        reads_text: its models have a vocabulary, whatever their heads are.
        data: keys of our configuration that say how the model's data are made.
        image_processor: their class that makes images pixels, of a family that reads them; its
            folders say how.
        stretches: its models read images of any size.
        reads_sounds: the name of what they say how sounds are read with; empty: they do not.
        decoder_start: what a decoder reads first where config.json does not say it; None: what is
            said is not heeded.
    """

    parts: ClassVar[Config]
    keys: ClassVar[Sequence[Key]]
    defaults: ClassVar[Config] = {}
    demanded: ClassVar[Config] = {}
    heads: ClassVar[Mapping[str, tuple[str, ...]]]
    prefix: ClassVar[str] = ""
    ignored: ClassVar[Sequence[str]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}
    classifier: ClassVar[Config] = {"task": "classifier", "data_processor": "cls"}
    reads_text: ClassVar[bool] = True
    data: ClassVar[Config] = {}
    image_processor: ClassVar[str] = ""
    stretches: ClassVar[bool] = False
    reads_sounds: ClassVar[str] = ""
    decoder_start: ClassVar[int | None] = None

    @property
    def model_type(self) -> str:
        """Its name in config.json."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    def named(self, theirs: Config) -> dict[str, Any]:
        """Their configuration with every key under its first name."""
        other = {name: theirs[alias] for alias, name in self.aliases.items() if alias in theirs}
        return {**other, **theirs}

    def processor(self, targets: Sequence[str]) -> dict[str, Any]:
        """Keys of our configuration that say how data for a model with these targets are made."""
        return dict(self.data)

    @abstractmethod
    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """Names of tensors, theirs → ours.

        Args:
            theirs: the content of config.json.
            targets: the targets of our model.
        """

    def ours(self, theirs: Config, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Our configuration without targets.

        Args:
            theirs: the content of config.json.
            weights: what the weights say beside it; read lazily.

        Raises:
            ConfigError: an option that we do not have.
        """
        read, problems = read_keys(self.keys, theirs, self.defaults, self.demanded)
        found = {**self.parts, **read}
        if problems:
            raise ConfigError(problems)
        return found

    def theirs(self, values: Config) -> dict[str, Any]:
        """Their configuration.

        Args:
            values: all keys and choices of ours, see `described.values_of`.
        """
        return {**self.demanded, **written_keys(self.keys, values)}

    def place(self, config: dict[str, Any], facts: Config) -> None:
        """Put what the data has told (vocab_size, ids of special tokens) into their configuration.

        Args:
            config: the content of config.json; changed.
            facts: by their names.
        """
        config.update(facts)

    def further(
        self, theirs: Config, tensors: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Tensors that their files hold although they say nothing new.

        Args:
            theirs: the content of config.json.
            tensors: all others.
        """
        return {}


def read_keys(
    keys: Sequence[Key], theirs: Config, defaults: Config, demanded: Config
) -> tuple[dict[str, Any], list[str]]:
    """What a table of keys reads from a configuration of theirs.

    Args:
        keys: the table.
        theirs: the content of config.json, or of a section of it.
        defaults: of theirs that differ from those the keys state.
        demanded: options of theirs that we know with one value only.

    Returns:
        Ours by key, and a sentence for every option that we do not have.
    """
    problems = [
        f"{key}: {theirs[key]!r} is an option that is not supported here, only {value!r} is."
        for key, value in demanded.items()
        if theirs.get(key, value) != value
    ]
    found: dict[str, Any] = {}
    for key in keys:
        value = theirs.get(key.theirs, defaults.get(key.theirs, key.default))
        if key.choices is not None and value not in list(key.choices):
            known = ", ".join(map(repr, key.choices))
            problems.append(
                f"{key.theirs}: {value!r} is an option that is not supported here; known are "
                f"{known}."
            )
        elif value is not None:
            found[key.ours] = value if key.choices is None else key.choices[value]
    return found, problems


def written_keys(keys: Sequence[Key], values: Config) -> dict[str, Any]:
    """What a table of keys makes of ours, see `described.values_of`."""
    found = {}
    for key in keys:
        if key.ours in values:
            value = values[key.ours]
            if key.choices is not None:
                value = next((k for k, v in key.choices.items() if v == value), value)
            found[key.theirs] = value
    return found


def first_position(theirs: Config, pad: int) -> int:
    """The row of the first position where positions begin behind the id of padding.

    Args:
        theirs: the content of config.json.
        pad: the family's id of padding where config.json does not say it.

    Raises:
        ConfigError: there is no padding.
    """
    found = theirs.get("pad_token_id", pad)
    if not isinstance(found, int):
        raise ConfigError(
            [f"pad_token_id: {found!r} is no id, but positions begin behind it; give one."]
        )
    return found + 1


families: Registry[Family] = Registry(
    "family of Hugging Face models", Family, "uer.interop.huggingface.families"
)


def family_of(theirs: Config, source: str | Path) -> Family:
    """The family that config.json names.

    Raises:
        ConfigError: it names none, or one that is not known.
    """
    kind = theirs.get("model_type")
    if not isinstance(kind, str):
        known = ", ".join(name.replace("_", "-") for name in families.names())
        raise ConfigError(
            [f'it does not say its model_type; add "model_type": "…", one of {known}.'], source
        )
    try:
        return families.get(kind.replace("-", "_"))()
    except ConfigError as error:
        raise ConfigError(
            [f"model_type: {problem}" for problem in error.problems], source
        ) from None
