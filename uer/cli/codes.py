"""`uer codes`: what an image tokenizer makes of the images of a data set."""

from __future__ import annotations

import logging
from typing import Annotated

from uer.data.columns import add_column
from uer.data.store import Store
from uer.errors import UserError
from uer.image_tokenizer import ImageTokenizer
from uer.registry import load_plugins
from uer.training import machine
from uer.training.settings import Precision

_log = logging.getLogger(__name__)


def codes(
    *,
    load_model_path: Annotated[str, "checkpoint of an image tokenizer (target vq)"],
    dataset_path: Annotated[str, "data set with images, made by preprocess"],
    column: Annotated[str, "name of the column to write"] = "codes",
    media_root: Annotated[str | None, "where the images are now, if they were moved"] = None,
    batch_size: Annotated[int, "images of a batch"] = 64,
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto",
    precision: Annotated[Precision, "arithmetic of the forward pass"] = "auto",
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Write the codes of all images of a data set into it, as a column.

    beit predicts them, dalle reads them. The images are transformed as in evaluation; the codes of
    one that cannot be read are -1, and processors leave it out.
    """
    load_plugins(plugin)
    if batch_size < 1:
        raise UserError(f"--batch_size {batch_size}: must be at least 1.")
    prepared = machine.prepare(device, precision, threads)
    _log.info(prepared.line())
    tokenizer = ImageTokenizer(load_model_path, prepared.device)
    store = Store.open(dataset_path, media_root)
    made, report = tokenizer.of_store(store, batch_size=batch_size)
    add_column(dataset_path, column, made)
    if line := report.line():
        _log.warning(line)
    read = made[:, 0] >= 0
    _log.info(
        "%s: %d images of %d codes each; %d of the tokenizer's %d codes occur.",
        dataset_path,
        int(read.sum()),
        tokenizer.patches,
        len(set(made[read].ravel().tolist())),
        tokenizer.codes_num,
    )
