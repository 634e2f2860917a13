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
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uer.errors import CheckpointError, UserError
from uer.files import atomic_folder
from uer.training.lazy import Lazies, lazy
from uer.training.loading import LoadReport, fill
from uer.training.state import Contents, Progress, TrainerState
from uer.training.tensor_file import (
    TensorFile,
    plain_file,
    read_tensors,
    read_weights_file,
    weights_file,
    write_tensors,
)

MARKER = "config.yaml"
FORMAT = 1
MANIFEST = "manifest.json"
_WEIGHTS, _AVERAGE = "model.safetensors", "ema.safetensors"
_STATE, _OPTIMIZER = "trainer/state.json", "trainer/optimizer.safetensors"
_RNG = "trainer/rng.safetensors"
_EDITABLE = (MARKER,)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a checkpoint will hold; its words are fixed already, its tensors may not be there yet.

    Args:
        contents: configuration and tokenizer.
        files: of tensors, by their place in the folder.
        texts: other files, by their place in the folder.
    """

    contents: Contents
    files: dict[str, TensorFile]
    texts: dict[str, str] = field(default_factory=dict)

    def values(self) -> Iterator[torch.Tensor]:
        """All tensors in their order, each brought together when it is asked for. Together."""
        for file in self.files.values():
            for one in file.tensors.values():
                yield one.gather()


def draft(
    weights: Lazies,
    contents: Contents,
    trainer: TrainerState | None = None,
    *,
    optimizer: Lazies | None = None,
    average: Lazies | None = None,
) -> Draft:
    """Say what a checkpoint will hold.

    Args:
        weights: the model's.
        contents: configuration and tokenizer.
        trainer: what is needed to resume; None for a model that is only to be used.
        optimizer: its state, where it is not in ``trainer`` because processes share it.
        average: the running mean of the weights, likewise.
    """
    files = {_WEIGHTS: weights_file(weights)}
    texts = {MARKER: contents.config}
    if trainer is not None:
        average = average or lazy(trainer.average)
        if average:
            files[_AVERAGE] = weights_file(average)
        files[_OPTIMIZER] = plain_file(optimizer or lazy(trainer.optimizer))
        files[_RNG] = plain_file(lazy(trainer.rng))
        texts[_STATE] = _json(
            {
                "progress": asdict(trainer.progress),
                "settings": trainer.settings,
                "engine": trainer.engine,
                "versions": {"uer": _version("uer"), "torch": torch.__version__},
            }
        )
    return Draft(contents=contents, files=files, texts=texts)


def write_checkpoint(folder: str | Path, made: Draft) -> None:
    """Write a checkpoint; it appears whole or not at all.

    Where processes share the tensors, the others go through `Draft.values` meanwhile; all of them
    are asked for even if the disk is full after the first.

    Args:
        folder: where; an older checkpoint at this place is replaced.
        made: what it holds.

    Raises:
        UserError: the place cannot be written, is full, or holds something that is no checkpoint.
    """
    values = made.values()
    try:
        with _refusal_explained(folder), atomic_folder(folder, MANIFEST) as scratch:
            if _STATE in made.texts:
                (scratch / _STATE).parent.mkdir()
            for place, file in made.files.items():
                write_tensors(scratch / place, file, values)
            for place, text in made.texts.items():
                (scratch / place).write_text(text, encoding="utf-8")
            for name, save in (
                ("tokenizer", made.contents.save_tokenizer),
                ("tokenizer_tgt", made.contents.save_tgt_tokenizer),
            ):
                if save is not None:
                    (scratch / name).mkdir()
                    save(scratch / name)
            manifest = _json({"format": FORMAT, "files": _sizes(scratch)})
            (scratch / MANIFEST).write_text(manifest, encoding="utf-8")
    finally:
        for _ in values:
            pass


def save_checkpoint(
    folder: str | Path,
    weights: Mapping[str, torch.Tensor],
    contents: Contents,
    trainer: TrainerState | None = None,
) -> None:
    """Write a checkpoint of tensors that are all here; it appears whole or not at all.

    Args:
        folder: where; an older checkpoint at this place is replaced.
        weights: the model's ``state_dict()``.
        contents: configuration and tokenizer.
        trainer: what is needed to resume; None for a model that is only to be used.

    Raises:
        UserError: the place cannot be written, is full, or holds something that is no checkpoint.
    """
    write_checkpoint(folder, draft(lazy(weights), contents, trainer))


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
        optimizer=read_tensors(root / _OPTIMIZER)[0],
        rng=read_tensors(root / _RNG)[0],
        engine=state["engine"],
        average=read_weights_file(root / _AVERAGE) if (root / _AVERAGE).is_file() else {},
    )


def saved_step(folder: str | Path) -> int:
    """How many updates a checkpoint has done.

    Raises:
        CheckpointError: it cannot be read.
    """
    return _read_json(Path(folder) / _STATE)["progress"]["step"]


def read_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """All weights of a checkpoint by name; tied names share a tensor.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return read_weights_file(Path(folder) / _WEIGHTS)


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


@contextlib.contextmanager
def _refusal_explained(folder: str | Path) -> Iterator[None]:
    """A full disk, for example."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the checkpoint {folder} could not be written ({error}); make room or choose another "
            "--output_model_path. The checkpoints written before are whole: resume from the last."
        ) from error


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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); copy the checkpoint again."
        ) from error


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"
