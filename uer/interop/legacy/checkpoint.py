"""Checkpoints of UER-py and TencentPretrain, read into ours and written from ours.

Theirs is one flat dictionary of tensors without any description, in one file or cut into several
with an index; names are translated by one table (`uer.interop.legacy.names`).
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from uer.embeddings.legacy_dual import LegacyDualEmbedding
from uer.embeddings.legacy_sinusoidalpos import LegacySinusoidalPositionEmbedding
from uer.embeddings.pos import PositionEmbedding
from uer.embeddings.seg import SegmentEmbedding
from uer.embeddings.sinusoidalpos import SinusoidalPositionEmbedding
from uer.encoders.transformer import TransformerEncoder
from uer.errors import CheckpointError
from uer.files import atomic_file
from uer.interop.legacy.names import inward, outward, present, to_ours, to_theirs
from uer.layers.norms.normal import LayerNorm
from uer.layers.positions.alibi import Alibi
from uer.layers.positions.rotary import RotaryPosition
from uer.layers.positions.rotary_interleaved import InterleavedRotaryPosition
from uer.layers.rope_scaling import inverse_frequencies

INDEX = "tencentpretrain_model.bin.index.json"
_RELATIVE = ".relative_pos_emb."


def is_legacy_checkpoint(path: str | Path) -> bool:
    """What the predecessors' ``torch.save`` wrote: a file, or a folder of blocks with an index."""
    return Path(path).is_file() or (Path(path) / INDEX).is_file()


# ------------------------------------------------------------------------------------- reading


def read_legacy(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint of the predecessors; no code of a file is run.

    Returns:
        Tensors by our names. Names without a counterpart keep theirs, so that the load report
        shows them.

    Raises:
        CheckpointError: a file is missing, truncated, or no dictionary of tensors; or it holds
            low-rank differences only.
    """
    state = read_state(path)
    adapters = [key for key in state if ".lora_" in key]
    if adapters:
        raise CheckpointError(
            f"{path} holds low-rank differences (such as {adapters[0]}) without the scale they "
            "were trained with; go on with them with --lora_pretrained_model_path, --use_lora and "
            "--lora_alpha, and the checkpoint they belong to as --pretrained_model_path."
        )
    return {to_ours(key): inward(key, value) for key, value in _live(state).items()}


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint of the predecessors, by their names.

    Raises:
        CheckpointError: a file is missing, truncated, or no dictionary of tensors.
    """
    return _read_blocks(Path(path)) if (Path(path) / INDEX).is_file() else _read_file(Path(path))


def _live(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that count, by their present names.

    TencentPretrain keeps the relative positions that it uses in every layer, and one table beside
    the layers that nobody reads. A converter of theirs wrote dual models without the norms of the
    streams, which start as identities.
    """
    owners = [key for key in state if re.search(r"\.transformer\.(\d+\.)?relative_pos_emb\.", key)]
    used = {present(key) for key in owners}
    live = {
        present(key): value
        for key, value in state.items()
        if present(key) not in used or key in owners
    }
    for number in (0, 1):
        norm = f"embedding.dual.stream_{number}_layer_norm"
        inner = live.get(f"embedding.dual.embedding_{number}.layer_norm.weight")
        slipped = any(re.match(rf"(module\.)?embedding\.embedding_{number}\.", k) for k in state)
        if slipped and inner is not None and f"{norm}.weight" not in live:
            live |= {f"{norm}.weight": torch.ones_like(inner)}
            live |= {f"{norm}.bias": torch.zeros_like(inner)}
    return live


def _read_blocks(folder: Path) -> dict[str, torch.Tensor]:
    """All blocks that the index names."""
    try:
        names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        files = sorted({Path(name).name for name in names.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / INDEX} cannot be read as an index; copy the folder again."
        ) from error
    state: dict[str, torch.Tensor] = {}
    for name in files:
        state |= _read_file(folder / name)
    lacking = sorted(names.keys() - state.keys())
    if lacking:
        raise CheckpointError(
            f"{folder}: the index names {lacking[0]}, which is in none of the files; "
            "copy the folder again."
        )
    return state


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the reader fail in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # whose advice is to run the file's code
            reason = "it is no file of torch.save, or holds other things than tensors"
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({reason}); copy or download it again."
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise CheckpointError(
            f"{path} holds no dictionary of tensors; a state dict saved by torch.save is expected."
        )
    return state


# ------------------------------------------------------------------------------------- writing


def write_legacy(model: nn.Module, path: str | Path) -> list[str]:
    """Write a model's weights as a file that the predecessors load.

    What was read comes back bit for bit, but for two tensors that count nowhere: the row of the
    segment table that stands for padding becomes zero, and the table of relative positions that
    TencentPretrain never reads becomes the one it reads.

    Args:
        model: an assembled model.
        path: where to write; an existing file is replaced.

    Returns:
        A sentence for everything that their code computes differently from this model.

    Raises:
        CheckpointError: their models have no place for something.
    """
    state = model.state_dict()
    homeless = [name for name in state if to_theirs(name) is None]
    problems = [*(f"the parameter {name}" for name in homeless[:6]), *_strange_parts(model)]
    if problems:
        raise CheckpointError(
            f"{path}: the predecessors' models have no place for {', '.join(problems)}; "
            "nothing was written."
        )
    theirs: dict[str, torch.Tensor] = {}
    shared = _shared_layers(model)
    for name, value in state.items():
        for key in _keys(name, state, shared):
            theirs[key] = outward(key, value.detach().cpu()).contiguous()
    with atomic_file(path) as scratch, scratch.open("wb") as file:  # torch refuses some names
        torch.save(theirs, file)
    return _differences(model)


def _keys(name: str, state: Mapping[str, torch.Tensor], shared: list[str]) -> Iterator[str]:
    """All names under which they keep a tensor of ours."""
    key = to_theirs(name)
    assert key is not None
    if re.search(r"layer_norm(_\d)?\.(weight|bias)$", key):
        has_shift = name.rpartition(".")[0] + ".bias" in state
        if has_shift:
            key = re.sub(r"\.bias$", ".beta", re.sub(r"\.weight$", ".gamma", key))
    for encoder in shared:
        key = key.replace(f"{encoder}.transformer.0.", f"{encoder}.transformer.")
    yield key
    if _RELATIVE in key:
        encoder = name.removesuffix(".position.weight")
        prefix, _, rest = key.partition(_RELATIVE)
        layers = {int(n) for n in re.findall(rf"{encoder}\.layers\.(\d+)\.", "\n".join(state))}
        for number in sorted(layers):
            layer = "" if prefix in shared else f".{number}"
            yield f"{prefix}.transformer{layer}{_RELATIVE}{rest}"


def _shared_layers(model: nn.Module) -> list[str]:
    """Their names of the encoders whose one layer serves all rounds: it has no number there."""
    return [
        name.replace("streams.", "encoder_")
        for name, part in model.named_modules()
        if isinstance(part, TransformerEncoder) and part.rounds > 1
    ]


def _strange_parts(model: nn.Module) -> list[str]:
    """Parts without parameters, or with parameters that mean something else there."""
    known = {
        "rotary positions in halves (dialect legacy has theirs)": lambda part: (
            isinstance(part, RotaryPosition) and not isinstance(part, InterleavedRotaryPosition)
        ),
        "a table of positions that does not begin with the first": lambda part: (
            isinstance(part, PositionEmbedding) and part.offset != 0
        ),
        "other than two segments": lambda part: (
            isinstance(part, SegmentEmbedding) and part.weight.shape[0] != 2
        ),
        "linear biases of positions (alibi)": lambda part: isinstance(part, Alibi),
    }
    return [what for what, test in known.items() if any(map(test, model.modules()))]


def _differences(model: nn.Module) -> list[str]:
    """What their code makes of the weights that this model does not."""
    parts = list(model.modules())
    notes = []
    if any(isinstance(part, LayerNorm) for part in parts):
        notes.append(
            "their layer norm divides by another deviation: its results differ by up to 2e-3."
        )
    if any(
        isinstance(part, SinusoidalPositionEmbedding)
        and not isinstance(part, LegacySinusoidalPositionEmbedding)
        for part in parts
    ):
        notes.append("their sinusoidal positions have other wave lengths and start later.")
    if len(getattr(model.embedding, "output_sizes", ())) > 1 and not any(
        isinstance(part, LegacyDualEmbedding) for part in parts
    ):
        notes.append("their dual embedding has one more norm per stream, which is not in the file.")
    names = model.state_dict().keys()
    if any(n.endswith("n.query.bias") and n.replace("query", "output") not in names for n in names):
        notes.append("their attention has biases in all of its linear maps or in none.")
    rotary = [part for part in parts if isinstance(part, RotaryPosition)]
    if any(not torch.equal(part.frequency, _plain_frequency(part)) for part in rotary):
        notes.append("their rotary positions have the base 10000 and no scaling.")
    if any(isinstance(part, TransformerEncoder) and part.window is not None for part in parts):
        notes.append("their attention has no window: tokens see everything that the mask shows.")
    if any(getattr(part, "scale", 1.0) != 1.0 for part in getattr(model, "targets", {}).values()):
        notes.append("their output layer does not scale the states that it shares a table with.")
    return notes


def _plain_frequency(part: RotaryPosition) -> torch.Tensor:
    """Frequencies with their base of wave lengths, which is fixed."""
    return inverse_frequencies(2 * len(part.frequency), 10000.0, None)[0]
