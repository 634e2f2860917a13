"""A checkpoint: one folder that holds all a model needs, and all a run needs to go on.

::

    model.safetensors               weights; tied tensors once, their other names in the metadata
    ema.safetensors                 the same of their running mean, if there is one
    config.yaml                     the resolved configuration
    tokenizer/                      what the data side needs to make batches
    tokenizer_tgt/                  the target side's, where it has its own
    trainer/state.json              step, position in the data, settings, figures so far
    trainer/optimizer.safetensors   "<quantity>/<parameter>"
    trainer/rng.safetensors         states of the random generators
    manifest.json                   sizes of all files, so that a damaged copy is noticed

It is written beside its place and renamed, so a folder of this name is whole. Nothing in it is
executable: no pickle.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from uer.errors import CheckpointError, UserError
from uer.files import atomic_folder

MARKER = "config.yaml"
FORMAT = 1
BODY = ("embedding", "encoder", "tgt_embedding", "decoder")
_DECODING = ("tgt_embedding", "decoder")
MANIFEST = "manifest.json"
_WEIGHTS, _AVERAGE = "model.safetensors", "ema.safetensors"
_STATE, _OPTIMIZER = "trainer/state.json", "trainer/optimizer.safetensors"
_RNG = "trainer/rng.safetensors"
_EDITABLE = (MARKER,)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a checkpoint carries beside numbers.

    Args:
        config: text of ``config.yaml``.
        save_tokenizer: writes the tokenizer's files into the folder it is given; None: no text.
        save_tgt_tokenizer: the same for the target side's, where it has its own.
    """

    config: str
    save_tokenizer: Callable[[Path], None] | None = None
    save_tgt_tokenizer: Callable[[Path], None] | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a run is: all of its state that is neither a tensor of the model nor random.

    Args:
        step: updates done.
        position: where the data stream stands.
        skipped: updates left out because their gradients were not finite.
        skipped_in_a_row: of these, the last ones without a good update between.
        window: sums and weights of the figures since the last report.
        saved: steps of the numbered checkpoints of this run that are kept.
        best_step: step of the best evaluation that was saved; None before the first.
        best: its value.
    """

    step: int = 0
    position: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    skipped_in_a_row: int = 0
    window: dict[str, tuple[float, float]] = field(default_factory=dict)
    saved: list[int] = field(default_factory=list)
    best_step: int | None = None
    best: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """What a run needs to go on as if nothing had happened.

    Args:
        progress: how far it is.
        settings: the run's settings, to tell what was changed since.
        optimizer: ``"<quantity>/<parameter>"`` → tensor.
        rng: states of the random generators.
        engine: state of the engine (loss scaling).
        average: running mean of the weights, named like them; empty: there is none.
    """

    progress: Progress
    settings: dict[str, Any]
    optimizer: dict[str, torch.Tensor]
    rng: dict[str, torch.Tensor]
    engine: dict[str, float] = field(default_factory=dict)
    average: dict[str, torch.Tensor] = field(default_factory=dict)


class Mismatch(NamedTuple):
    """A tensor whose shape in the file is not the model's."""

    name: str
    file: tuple[int, ...]
    model: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of each tensor when weights were loaded.

    Args:
        matched: names that were loaded.
        missing: names of the model that the file does not hold: they keep their initial values.
        unexpected: names of the file that the model does not have: they were left out.
        mismatched: names of both with different shapes: they keep their initial values.
        extended: of those that were loaded, tables that got rows for new tokens before.
    """

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[Mismatch]
    extended: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One sentence for the log."""
        parts = [f"{len(self.matched)} tensors loaded"]
        shapes = [f"{m.name} {list(m.file)} (model {list(m.model)})" for m in self.mismatched]
        for what, names in (
            ("not in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape", shapes),
        ):
            if names:
                parts.append(f"{len(names)} {what}: {_some(names)}")
        if self.extended:
            parts.append(f"new tokens begin as the mean of the old ones: {_some(self.extended)}")
        return "; ".join(parts) + "."


def save_checkpoint(
    folder: str | Path,
    weights: Mapping[str, torch.Tensor],
    contents: Contents,
    trainer: TrainerState | None = None,
) -> None:
    """Write a checkpoint; it appears whole or not at all.

    Args:
        folder: where; an older checkpoint at this place is replaced.
        weights: the model's ``state_dict()``.
        contents: configuration and tokenizer.
        trainer: what is needed to resume; None for a model that is only to be used.

    Raises:
        UserError: the place cannot be written, is full, or holds something that is no checkpoint.
    """
    with _refusal_explained(folder), atomic_folder(folder, MANIFEST) as scratch:
        _save_weights(scratch / _WEIGHTS, weights)
        if trainer is not None and trainer.average:
            _save_weights(scratch / _AVERAGE, trainer.average)
        (scratch / MARKER).write_text(contents.config, encoding="utf-8")
        for name, save in (
            ("tokenizer", contents.save_tokenizer),
            ("tokenizer_tgt", contents.save_tgt_tokenizer),
        ):
            if save is not None:
                (scratch / name).mkdir()
                save(scratch / name)
        if trainer is not None:
            _save_trainer(scratch, trainer)
        _write_json(scratch / MANIFEST, {"format": FORMAT, "files": _sizes(scratch)})


def load_weights(
    model: nn.Module, folder: str | Path, *, allow_partial: bool = False
) -> LoadReport:
    """Load a checkpoint's weights into a model; nothing is loaded if something does not fit.

    Args:
        model: built as the configuration says, ties included.
        folder: the checkpoint.
        allow_partial: as in `fill`.

    Returns:
        What became of each tensor; log its `LoadReport.line`.

    Raises:
        CheckpointError: the folder is no whole checkpoint, or it does not fit the model.
    """
    check_files(folder)
    return fill(model, read_weights(folder), folder, allow_partial=allow_partial)


def fill(
    model: nn.Module,
    found: Mapping[str, torch.Tensor],
    source: str | Path,
    *,
    allow_partial: bool = False,
) -> LoadReport:
    """Copy tensors into a model's parameters of the same names.

    Args:
        model: built as the configuration says, ties included.
        found: tensors by name; of tied parameters one is enough.
        source: where they come from, for messages.
        allow_partial: load what fits, even where the model's body stays unmatched. Targets that
            the source does not know are always allowed: they are trained from the start.

    Returns:
        What became of each tensor.

    Raises:
        CheckpointError: the body stays unmatched, a shape differs, or tied tensors are not equal.
    """
    report, matches = match(model, found, source)
    if not allow_partial:
        require_body(source, report)
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in matches.items():
            own[name].copy_(tensor)
    return report


def match(
    model: nn.Module, found: Mapping[str, torch.Tensor], source: str | Path
) -> tuple[LoadReport, dict[str, torch.Tensor]]:
    """Find the tensors for a model's parameters; the model may live on the device ``meta``.

    Args:
        model: as in `fill`.
        found: as in `fill`.
        source: as in `fill`.

    Returns:
        What would become of each tensor, and the tensors by the model's names, tied names included.

    Raises:
        CheckpointError: tied tensors are not equal.
    """
    own = model.state_dict(keep_vars=True)
    groups = _names_by_tensor(own)
    matches: dict[str, torch.Tensor] = {}
    missing, mismatched = [], []
    for names in groups:
        given = [name for name in names if name in found]
        if not given:
            missing += names
        elif (file := found[given[0]]).shape != own[names[0]].shape:
            mismatched.append(Mismatch(given[0], tuple(file.shape), tuple(own[names[0]].shape)))
        else:
            _require_equal(source, given, found)
            matches |= dict.fromkeys(names, file)
    report = LoadReport(
        matched=sorted(matches),
        missing=sorted(missing),
        unexpected=sorted(found.keys() - own.keys()),
        mismatched=sorted(mismatched),
    )
    return report, matches


def load_trainer_state(folder: str | Path) -> TrainerState:
    """Read what a run needs to go on.

    Raises:
        CheckpointError: the folder is no whole checkpoint, or was saved without a trainer's state.
    """
    check_files(folder, resume=True)
    root = Path(folder)
    state = _read_json(root / _STATE)
    known = {entry.name for entry in fields(Progress)}
    progress = {name: value for name, value in state["progress"].items() if name in known}
    progress["window"] = {k: (v[0], v[1]) for k, v in progress["window"].items()}
    return TrainerState(
        progress=Progress(**progress),
        settings=state["settings"],
        optimizer=_read_tensors(root / _OPTIMIZER)[0],
        rng=_read_tensors(root / _RNG)[0],
        engine=state["engine"],
        average=_read_weights(root / _AVERAGE) if (root / _AVERAGE).is_file() else {},
    )


def read_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """All weights of a checkpoint by name; tied names share a tensor.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return _read_weights(Path(folder) / _WEIGHTS)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    tensors, metadata = _read_tensors(path)
    aliases: dict[str, str] = json.loads(metadata.get("aliases", "{}"))
    return tensors | {name: tensors[owner] for name, owner in aliases.items()}


def check_files(folder: str | Path, *, resume: bool = False) -> None:
    """Compare a checkpoint with its manifest.

    Args:
        folder: the checkpoint.
        resume: ``trainer/`` is needed too; without, it may have been taken away.

    Raises:
        CheckpointError: it is no checkpoint, a file is missing, or one was cut off.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise CheckpointError(f"{folder} {what}; name the folder of a checkpoint.")
    if not (root / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} holds no {MANIFEST}: it is no checkpoint, or its copy is not complete."
        )
    manifest = _read_json(root / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {manifest.get('format')}, this version reads "
            f"{FORMAT}; use the version that wrote it."
        )
    if resume and _STATE not in manifest["files"]:
        raise CheckpointError(
            f"{folder} was saved without a trainer's state: its weights can be loaded, "
            "but a run cannot be resumed from it."
        )
    needs_trainer = resume or (root / "trainer").exists()
    for name, size in manifest["files"].items():
        if needs_trainer or not name.startswith("trainer/"):
            _check_file(root / name, size)


def untie(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors that can be written to a file, each once.

    Returns:
        The tensors on the CPU by the first of their names, and for the other names the first.
    """
    owners: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for first, *others in _names_by_tensor(weights):
        tensor = weights[first].detach().to("cpu").contiguous()
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        owners[first] = tensor if whole else tensor.clone()
        aliases |= dict.fromkeys(others, first)
    return owners, aliases


def _names_by_tensor(weights: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Names grouped by the tensor they stand for, sorted."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in sorted(weights):
        tensor = weights[name]
        stored = tensor.numel() and tensor.device.type != "meta"
        place = tensor.data_ptr() if stored else id(tensor)
        key = (place, tensor.device, tuple(tensor.shape), tensor.stride(), tensor.dtype)
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _require_equal(source: str | Path, names: list[str], found: Mapping[str, torch.Tensor]) -> None:
    """One tensor of the model cannot take two different ones of the file."""
    first = found[names[0]]
    for name in names[1:]:
        if found[name] is not first and not torch.equal(found[name], first):
            raise CheckpointError(
                f"{source}: {names[0]} and {name} are one tensor in this model, but two different "
                "ones in the checkpoint; build the model without tying them."
            )


def require_body(source: str | Path, report: LoadReport, *, partly: bool = True) -> None:
    """Embeddings, encoder and decoder must match whole, and no shape may differ.

    A model without any decoder leaves the checkpoint's behind: its encoder is used alone.

    Args:
        source: what the weights were read from, for messages.
        report: what became of each tensor.
        partly: there is a flag to load what fits, which the message names.

    Raises:
        CheckpointError: they do not.
    """
    own = {name.split(".")[0] for name in (*report.matched, *report.missing)}
    decodes = not own.isdisjoint(_DECODING)
    wanted = [part for part in BODY if decodes or part not in _DECODING]
    wrong = {
        "the checkpoint lacks": [n for n in report.missing if n.split(".")[0] in BODY],
        "the model has no": [n for n in report.unexpected if n.split(".")[0] in wanted],
        "the shapes differ of": [
            f"{m.name} (checkpoint {list(m.file)}, model {list(m.model)})"
            for m in report.mismatched
        ],
    }
    problems = [f"{what} {_some(names)}" for what, names in wrong.items() if names]
    if problems:
        instead = ", or load what fits with --allow_partial" if partly else ""
        raise CheckpointError(
            f"{source} does not fit the model: {'; '.join(problems)}. Use the configuration it was "
            f"trained with{instead}."
        )


def _some(names: list[str], at_most: int = 6) -> str:
    shown = ", ".join(names[:at_most])
    rest = len(names) - at_most
    return shown if rest <= 0 else f"{shown} and {rest} more"


@contextlib.contextmanager
def _refusal_explained(folder: str | Path) -> Iterator[None]:
    """A full disk, for example; safetensors has an error of its own for it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the checkpoint {folder} could not be written ({error}); make room or choose another "
            "--output_model_path. The checkpoints written before are whole: resume from the last."
        ) from error


def _save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    owners, aliases = untie(weights)
    save_file(owners, path, {"format": "pt", "aliases": json.dumps(aliases)})


def _save_trainer(folder: Path, state: TrainerState) -> None:
    (folder / "trainer").mkdir()
    optimizer, aliases = untie(state.optimizer)
    assert not aliases, "two parameters share a tensor of the optimizer"
    save_file(optimizer, folder / _OPTIMIZER)
    save_file(state.rng, folder / _RNG)
    _write_json(
        folder / _STATE,
        {
            "progress": asdict(state.progress),
            "settings": state.settings,
            "engine": state.engine,
            "versions": {"uer": _version("uer"), "torch": torch.__version__},
        },
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _check_file(path: Path, size: int) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; copy the checkpoint again.")
    actual = path.stat().st_size
    if actual != size and path.name not in _EDITABLE:
        raise CheckpointError(
            f"{path} has {actual} bytes instead of {size}; copy the checkpoint again."
        )


def _read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); copy the checkpoint again."
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); copy the checkpoint again."
        ) from error


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
