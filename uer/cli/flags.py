"""Command-line flags, read off the signature of a command.

A command is a function with keyword-only parameters ``name: Annotated[type, "help"] = default``;
each is a flag of the same name, or, annotated with `POSITIONAL`, a word without one. A parameter
annotated with a dataclass receives those of the dataclass's fields that were given, as a
dictionary. A parameter annotated `Overrides` receives every other flag: any key of a configuration
can be given on the command line (``--layers_num 4 --tie_weights --embedding word pos``).

``--flag value`` and ``--flag=value`` are the same; flags are never abbreviated.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from uer.config import decode, parse_value
from uer.errors import UserError

_log = logging.getLogger(__name__)

_REST = "all other flags: keys of the configuration"
Overrides = Annotated[dict[str, Any], _REST]
POSITIONAL = object()

# The predecessors' flags that have nothing left to do, and why.
ANSWERED = {
    "dup_factor": "instances are made anew in every epoch, so nothing is duplicated",
    "dynamic_masking": "masks are always drawn anew",
    "docs_buffer_size": "random sentences come from the whole corpus",
    "instances_buffer_size": "the whole data set is shuffled",
    "deep_init": "every module initialises itself",
    "seed": "nothing is drawn at random here",
    "log_level": "reports come every --report_steps",
    "log_file_level": "reports come every --report_steps",
    "gpu_ranks": "this command runs in one process; --device says where",
    "master_ip": "this command runs in one process; --device says where",
    "backend": "this command runs in one process; --device says where",
    "deepspeed_checkpoint_layers_num": "every layer keeps its input, and nothing else",
}

_CODES = (
    "an image tokenizer is a model of its own, trained with --config_path image_tokenizer/base, "
    "and `uer codes` writes its codes into a data set; leave the flag out, and say --codes_num"
)

# The predecessors' flags that mean something only with another value than this one.
REFUSED = {
    "world_size": ("1", "only training runs in several processes; leave the flag out"),
    "pipeline_model_parallel_size": (
        "1",
        "there is no pipeline parallelism; leave the flag out, and use --engine fsdp or "
        "--deepspeed --enable_zero3 for a model that does not fit into one device",
    ),
    "tensor_model_parallel_size": (
        "1",
        "there is no tensor parallelism; leave the flag out, and use --engine fsdp or "
        "--deepspeed --enable_zero3 for a model that does not fit into one device",
    ),
    "deepspeed": ("false", "only training runs with DeepSpeed; leave its flags out"),
    "vqgan_model_path": ("none", _CODES),
    "vqgan_config_path": ("none", _CODES),
    "fp16": ("false", "the arithmetic is chosen with --precision; leave the flag out"),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage first."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the flags.")


@dataclasses.dataclass(frozen=True)
class _Flag:
    name: str
    hint: Any
    help: str
    default: Any
    positional: bool = False


def call(command: Callable[..., Any], argv: Sequence[str], prog: str) -> Any:
    """Parse ``argv`` and call the command.

    Args:
        command: the function.
        argv: the arguments behind the command's name.
        prog: what the command is called in messages.

    Raises:
        UserError: an unknown or missing flag, or a value of the wrong type.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    flags, groups, rest = [], {}, None
    for name, parameter in signature.parameters.items():
        hint = hints[name]
        notes = getattr(hint, "__metadata__", ())
        group = next((note for note in notes if dataclasses.is_dataclass(note)), None)
        if group is not None:
            groups[name] = group
        elif _note(hint) == _REST:
            rest = name
        else:
            positional = POSITIONAL in notes
            flags.append(_Flag(name, _bare(hint), _note(hint), parameter.default, positional))
    own = {flag.name for flag in flags}  # a command may give a field another default or help
    fields = {
        name: [field for field in _fields(kind) if field.name not in own]
        for name, kind in groups.items()
    }
    parser = _parser(prog, command, [*flags, *(f for some in fields.values() for f in some)], rest)
    given, unknown = parser.parse_known_args(list(argv))
    values = {flag.name: getattr(given, flag.name) for flag in flags if hasattr(given, flag.name)}
    overrides = read_overrides(unknown, prog)
    if rest is None and overrides:
        raise UserError(f"{prog} has no flag --{next(iter(overrides))}; --help lists the flags.")
    for name, some in fields.items():
        values[name] = {f.name: getattr(given, f.name) for f in some if hasattr(given, f.name)}
    if rest is not None:
        values[rest] = overrides
    return command(**values)


def read_overrides(words: Sequence[str], prog: str) -> dict[str, Any]:
    """Flags that the command itself does not know, as keys of a configuration.

    Raises:
        UserError: a word belongs to no flag, or a flag is refused.
    """
    found: dict[str, list[str]] = {}
    name = None
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            found[name] = [value] if equals else []
        elif name is None:
            raise UserError(f"{prog}: '{word}' belongs to no flag.")
        else:
            found[name].append(word)
    for flag, (allowed, reason) in REFUSED.items():
        if found.pop(flag, [allowed]) != [allowed]:
            raise UserError(f"--{flag}: {reason}.")
    for flag, reason in ANSWERED.items():
        if found.pop(flag, None) is not None:
            _log.info("--%s has no effect: %s.", flag, reason)
    return {flag: _value(values) for flag, values in found.items()}


def _value(words: list[str]) -> Any:
    if not words:
        return True
    values = [parse_value(word) for word in words]
    return values[0] if len(values) == 1 else values


def _parser(
    prog: str, command: Callable[..., Any], flags: list[_Flag], rest: str | None
) -> argparse.ArgumentParser:
    text = inspect.getdoc(command) or ""
    parser = _Parser(
        prog=prog,
        description=text.partition("\n\nArgs:")[0],
        epilog=_EPILOG if rest else None,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag in flags:
        _add(parser, flag)
    return parser


_EPILOG = """Every key of the configuration is a flag, too: --layers_num 4 --embedding word pos seg.
`uer list` names the parts that can be chosen, `uer explain NAME` the keys of one."""


def _add(parser: argparse.ArgumentParser, flag: _Flag) -> None:
    """One flag; absent flags leave no trace, so that a configuration file can speak."""
    kind, many = _without_none(flag.hint), False
    if get_origin(kind) is list:
        kind, many = get_args(kind)[0], True
    required = flag.default in (inspect.Parameter.empty, dataclasses.MISSING)
    help_text = flag.help.replace("%", "%%")
    if not required and flag.default not in (None, False, "", [], ()):
        help_text += f" (default: {flag.default})"
    options: dict[str, Any] = {
        "dest": flag.name,
        "help": help_text,
        "default": argparse.SUPPRESS,
        "required": required,
    }
    if get_origin(kind) is Literal:
        options["choices"] = get_args(kind)
    elif kind is bool:
        options |= {"nargs": "?", "const": True, "type": _bool, "metavar": "true|false"}
    else:
        options |= {"type": _reader(kind), "metavar": kind.__name__.upper()}
    if many:
        options["nargs"] = "+"
    if flag.positional:
        del options["dest"], options["required"]
        options["metavar"] = flag.name.upper()  # also its name in messages
        if not required:
            options["nargs"] = "?"
        parser.add_argument(flag.name, **options)
    else:
        parser.add_argument(f"--{flag.name}", **options)


def _reader(kind: type) -> Callable[[str], Any]:
    if kind is str:
        return str

    def read(word: str) -> Any:
        return decode(kind, parse_value(word))

    read.__name__ = kind.__name__
    return read


def _bool(word: str) -> bool:
    value = parse_value(word.lower())
    if not isinstance(value, bool):
        raise ValueError(word)
    return value


def _fields(kind: type) -> list[_Flag]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        _Flag(field.name, _bare(hints[field.name]), _note(hints[field.name]), field.default)
        for field in dataclasses.fields(kind)
    ]


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _note(hint: Any) -> str:
    return next((note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)), "")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(option for option in get_args(hint) if option is not types.NoneType)
    return hint
