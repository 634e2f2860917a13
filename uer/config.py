"""Configuration files: reading and writing, and values of the types that are asked for.

YAML is read by the rules of YAML 1.2 for numbers and booleans: ``1e-4`` is a float, ``on`` a
string, ``012`` twelve. PyYAML by itself follows YAML 1.1 and takes the first for a string.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from uer.errors import ConfigError, did_you_mean


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core schema; a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"line {line}: the key '{key}' stands twice; keep one of them"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every string that YAML 1.1 or 1.2 would take for something else; never refers."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_INT = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"

_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (  # the first pattern that fits decides
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
        )


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0x", "0o")) else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse_yaml(text: str, source: str | Path = "the configuration") -> Any:
    """Read YAML text.

    Raises:
        ConfigError: it is not YAML, or a key stands twice.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError([f"is no valid YAML: {_sentence(error)}."], source) from None


def _sentence(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, without the library's excerpt of the text."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return place + error.problem
    return " ".join(str(error).split())


def parse_value(text: str) -> Any:
    """One value as it would be read in a file: ``"1e-4"`` → 0.0001, ``"true"`` → True."""
    return parse_yaml(text)


def decode(hint: Any, value: Any) -> Any:
    """A value of a configuration as the type its parameter states, strictly.

    Raises:
        ValueError: it is of another type.
    """
    adapter = _adapter(hint)
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError((f"{place}: " if place else "") + first["msg"].lower() + ".") from None


@functools.cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(hint)


def dump_yaml(config: Mapping[str, Any]) -> str:
    """YAML text that `parse_yaml` reads back unchanged, keys in the order given."""
    return yaml.dump(
        dict(config),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )


def find_config(path: str | Path) -> Path:
    """The file a user means.

    ``models/bert/base_config.json`` finds its ``.yaml`` twin when there is no such JSON file;
    ``bert/base`` finds the file of that name among the models that come with the package.

    Raises:
        ConfigError: there is no such file; names the nearest one.
    """
    given = Path(path)
    inside = [*given.parts[1:]] if given.parts[:1] == ("models",) else [*given.parts]
    candidates = [given, given.with_suffix(".yaml")]
    for folder in model_folders():
        named = folder.joinpath(*inside)
        candidates += [
            named,
            named.with_suffix(".yaml"),
            named.parent / f"{named.name}_config.yaml",
        ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if given.is_dir():
        raise ConfigError(
            [f"{path} is a folder; name a file (in a checkpoint, its config.yaml is one)."]
        )
    raise ConfigError(
        [f"{path}: there is no such configuration{did_you_mean(str(path), shipped_models())}"]
    )


def model_folders() -> list[Path]:
    """Where the configurations that come with the toolkit lie: in a checkout, or installed."""
    here = Path(__file__).parent
    return [folder for folder in (here.parent / "models", here / "models") if folder.is_dir()]


def shipped_models() -> list[str]:
    """Names of the configurations that come with the toolkit: ``bert/base``, ``gpt2/config``."""
    return sorted(
        str(file.relative_to(folder)).removesuffix(".yaml").removesuffix("_config")
        for folder in model_folders()
        for file in folder.rglob("*config.yaml")
    )


def load_config(path: str | Path) -> dict[str, Any]:
    """Read a configuration file, YAML or the predecessors' JSON.

    Returns:
        The mapping as it stands in the file; JSON is not yet translated (`uer.interop.legacy`).

    Raises:
        ConfigError: no such file, not readable as YAML or JSON, or no mapping.
    """
    file = find_config(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            [f"cannot be read: {reason}; a configuration is a YAML or JSON file."], file
        ) from error
    if file.suffix == ".json":
        try:
            config = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(
                [f"line {error.lineno} is no valid JSON: {error.msg}."], file
            ) from None
    else:
        config = parse_yaml(text, file)
    if not isinstance(config, dict):
        raise ConfigError(["must hold 'key: value' lines."], file)
    if "model_type" in config and "embedding" not in config:
        raise ConfigError(
            [
                "this describes a model of Hugging Face's transformers; give the folder it lies in "
                "as the checkpoint (--pretrained_model_path), or convert that with `uer convert`."
            ],
            file,
        )
    return config
