"""`uer caption`: texts for the regions of images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from numpy.typing import NDArray

from uer.batch import Batch
from uer.cli.outputs import require_file_place
from uer.cli.tokenizer import choose_tokenizer
from uer.data.media.references import MediaColumn, MediaError, Reference
from uer.data.randomness import Draw
from uer.errors import DataError, UserError
from uer.files import atomic_file
from uer.generation.beam_search import Limits
from uer.generation.captions import caption_batch
from uer.interop.pretrained import checkpoint_config
from uer.processors.vlp import Vlp
from uer.recipe import read_recipe
from uer.registry import load_plugins
from uer.training import machine
from uer.training.checkpoint import load_weights
from uer.training.settings import Precision

_log = logging.getLogger(__name__)

_HEADS = ("path", "regions")  # what a line of names calls the paths
_Fields = dict[str, NDArray[Any]]  # of the batch


def caption(
    *,
    load_model_path: Annotated[str, "checkpoint of a model of captions and regions (vlp)"],
    test_path: Annotated[
        str, "file of paths of regions (.npz), one per line, relative to its folder"
    ],
    prediction_path: Annotated[str, "file to write captions to, one per line"],
    beam_width: Annotated[int, "captions that are followed at once; 1: the likeliest word"] = 1,
    tgt_seq_length: Annotated[int, "tokens of a caption at most"] = 20,
    batch_size: Annotated[int, "images of a batch"] = 16,
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto",
    precision: Annotated[Precision, "arithmetic of the forward pass"] = "auto",
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Write a caption for each file of regions, one word after the other.

    The line of a file that cannot be read stays empty, and a warning names it.
    """
    load_plugins(plugin)
    if min(beam_width, tgt_seq_length, batch_size) < 1:
        raise UserError("--beam_width, --tgt_seq_length and --batch_size must be at least 1.")
    require_file_place(prediction_path, flag="prediction_path", inputs=[test_path])
    recipe = read_recipe(checkpoint_config(load_model_path))
    if recipe.processor is None or recipe.processor.part is not Vlp:
        raise UserError(f"{load_model_path} writes no captions: its data processor is not vlp.")
    prepared = machine.prepare(device, precision, threads)
    _log.info(prepared.line())
    tokenizer = choose_tokenizer(None, None, {}, load_model_path)
    facts = {**tokenizer.facts(), **recipe.facts}
    processor = recipe.processor.build(facts)
    assert isinstance(processor, Vlp)
    model = recipe.model.build(facts).to(prepared.device).eval()
    load_weights(model, load_model_path)
    paths = _paths(test_path)
    column = MediaColumn.of(Path(test_path).parent, [Reference(path) for path in paths])
    captions, read = [""] * len(paths), 0
    for first in range(0, len(paths), batch_size):
        rows = dict(_rows(processor, column, range(first, min(first + batch_size, len(paths)))))
        if not rows:
            continue
        found = caption_batch(
            model,
            _batch(list(rows.values())).to(prepared.device),
            Limits(beam_width, tgt_seq_length, min_length=1),
            cls_id=facts["cls_id"],
            sep_id=facts["sep_id"],
            mask_id=facts["mask_id"],
            never=[facts["pad_id"]],
        )
        for number, texts in zip(rows, found, strict=True):
            captions[number] = tokenizer.decode(texts[0].ids) if texts else ""
        read += len(rows)
    if not read:
        raise DataError("none of the files of regions could be read.", test_path)
    with atomic_file(prediction_path) as scratch:
        scratch.write_text("\n".join(captions) + "\n", encoding="utf-8")
    _log.info("%s: %d captions.", prediction_path, read)


def _paths(path: str) -> list[str]:
    """The last field of each line: a manifest of captions will do, too. Blank lines stay blank."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the paths cannot be read: {error}.", path) from error
    found = [line.rsplit("\t", 1)[-1].strip() for line in lines]
    if found and found[0] in _HEADS:
        del found[0]
    if not any(found):
        raise DataError("there is no path in it.", path)
    return found


def _rows(processor: Vlp, column: MediaColumn, numbers: range) -> Iterator[tuple[int, _Fields]]:
    """Regions and boxes of those files that can be read, by their number."""
    for number in numbers:
        medium = column[number]
        if not medium.name:
            continue
        try:
            media = {"regions": medium}
            yield number, processor.decode(media, Draw(0, 0), number, ordered=True)
        except MediaError as error:
            _log.warning("row %d, %s: %s", number + 1, medium.name, error)


def _batch(rows: list[_Fields]) -> Batch:
    """Regions and boxes, padded with zeros."""
    return Batch(
        {
            name: torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(row[name]) for row in rows], batch_first=True
            )
            for name in rows[0]
        }
    )
