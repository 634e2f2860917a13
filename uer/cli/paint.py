"""`uer paint`: images for texts, and texts for images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch

from uer.cli.outputs import require_file_place
from uer.cli.tokenizer import choose_tokenizer
from uer.data.media.image import require_pillow
from uer.data.media.references import MediaColumn, Reference
from uer.data.store import Store
from uer.errors import DataError, UserError
from uer.generation.images import Painter
from uer.generation.sampling import Sampling
from uer.image_tokenizer import ImageTokenizer
from uer.interop.pretrained import checkpoint_config
from uer.processors.dalle import Dalle
from uer.recipe import read_recipe
from uer.registry import load_plugins
from uer.tokenizers.base import Tokenizer
from uer.training import machine
from uer.training.checkpoint import load_weights
from uer.training.settings import Precision

_log = logging.getLogger(__name__)


def paint(
    *,
    load_model_path: Annotated[str, "checkpoint of a model of texts and codes (dalle)"],
    image_tokenizer_path: Annotated[str, "checkpoint of the image tokenizer that made the codes"],
    prompt: Annotated[
        Literal["to_image", "to_caption", "to_attributes"],
        "what is made; captions and attributes are both texts, as in the data",
    ] = "to_image",
    text_prefix_path: Annotated[str | None, "file of texts, one per line (to_image)"] = None,
    image_prefix_path: Annotated[list[str] | None, "images (to_caption and to_attributes)"] = None,
    prediction_path: Annotated[
        str, "folder for images <line>-<sample>.png, or file of texts: image<TAB>text"
    ],
    samples_num: Annotated[int, "samples of each text or image"] = 10,
    seq_length: Annotated[int, "tokens of a text at most"] = 48,
    top_k: Annotated[int, "samples are drawn of so many likeliest codes or tokens; 0: of all"] = 70,
    top_p: Annotated[float, "of the likeliest that sum to this probability; 0: of all"] = 0.0,
    temperature: Annotated[float, "logits are divided by it"] = 1.0,
    seed: Annotated[int, "of the samples"] = 7,
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto",
    precision: Annotated[Precision, "arithmetic of the forward pass"] = "auto",
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None,
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
) -> None:
    """Paint images for texts, or write texts for images.

    A model of texts and codes draws one code after the other, and the image tokenizer paints them.
    """
    load_plugins(plugin)
    if samples_num < 1 or seq_length < 1:
        raise UserError("--samples_num and --seq_length must be at least 1.")
    sampling = Sampling(top_k, top_p, temperature).checked()
    to_image = prompt == "to_image"
    given = text_prefix_path if to_image else image_prefix_path
    if given is None:
        needed = "--text_prefix_path" if to_image else "--image_prefix_path"
        raise UserError(f"{needed} is needed for --prompt {prompt}.")
    prepared = machine.prepare(device, precision, threads)
    _log.info(prepared.line())
    images = ImageTokenizer(image_tokenizer_path, prepared.device)
    tokenizer = choose_tokenizer(None, None, {}, load_model_path)
    painter = _painter(load_model_path, tokenizer, images, prepared.device)
    generator = torch.Generator().manual_seed(seed)
    if to_image:
        assert text_prefix_path is not None
        texts = _lines(text_prefix_path)
        folder = Path(prediction_path)
        folder.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(texts, start=1):
            ids = tokenizer.encode(text)[:seq_length].tolist()
            pixels = images.pixels(painter.codes(ids, samples_num, sampling, generator))
            for sample, one in enumerate(pixels.numpy(), start=1):
                _save(one, folder / f"{number}-{sample}.png")
        _log.info("%s: %d images for %d texts.", folder, samples_num * len(texts), len(texts))
        return
    require_file_place(prediction_path, flag="prediction_path", inputs=image_prefix_path or [])
    written = []
    for path, codes in _codes(image_prefix_path or [], images):
        rows = painter.texts(codes, samples_num, sampling, generator, max_length=seq_length)
        written += [f"{path}\t{tokenizer.decode(row)}" for row in rows]
    Path(prediction_path).write_text("\n".join(written) + "\n", encoding="utf-8")
    _log.info("%s: %d texts.", prediction_path, len(written))


def _painter(
    path: str, tokenizer: Tokenizer, images: ImageTokenizer, device: torch.device
) -> Painter:
    """The model of a checkpoint.

    Raises:
        UserError: it was trained for something else, or with another image tokenizer.
    """
    recipe = read_recipe(checkpoint_config(path))
    if recipe.processor is None or recipe.processor.part is not Dalle:
        raise UserError(f"{path} is no model of texts and codes: its data processor is not dalle.")
    facts = {**tokenizer.facts(), **recipe.facts}
    processor = recipe.processor.build(facts)
    assert isinstance(processor, Dalle)
    if processor.codes_num != images.codes_num:
        raise UserError(
            f"{path} knows {processor.codes_num} codes, the image tokenizer {images.path} has "
            f"{images.codes_num}; give the one that wrote the codes of its data."
        )
    model = recipe.model.build(facts).to(device).eval()
    load_weights(model, path)
    return Painter(
        model=model,
        patches=images.patches,
        codes_num=images.codes_num,
        vocab_size=facts["vocab_size"],
        cls_id=facts["cls_id"],
        sep_id=facts["sep_id"],
        predict_text=processor.predict_text,
        device=device,
    )


def _lines(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the texts cannot be read: {error}.", path) from error
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise DataError("there is no text in it.", path)
    return found


def _codes(paths: list[str], images: ImageTokenizer) -> list[tuple[str, torch.Tensor]]:
    """The codes of some images.

    Raises:
        DataError: one of them cannot be read.
    """
    found = []
    for path in paths:
        place = Path(path)
        media = {"image": MediaColumn.of(place.parent, [Reference(place.name)])}
        codes, report = images.of_store(Store.in_memory(None, [], media=media), batch_size=1)
        if codes[0, 0] < 0:
            raise DataError(f"this image cannot be read: {report.line()}", path)
        found.append((path, torch.from_numpy(codes[0])))
    return found


def _save(pixels: np.ndarray[Any, Any], path: Path) -> None:
    """Write uint8 [Y, X, C]."""
    pillow = require_pillow()
    grey = pixels.shape[2] == 1
    pillow.Image.fromarray(pixels[:, :, 0] if grey else pixels).save(path)
