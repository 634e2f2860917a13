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
from uer.data.media.references import MediaColumn, MediaError, Reference
from uer.errors import DataError, UserError
from uer.files import atomic_file
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
    if not given:
        needed = "--text_prefix_path" if to_image else "--image_prefix_path"
        raise UserError(f"{needed} is needed for --prompt {prompt}.")
    if to_image:
        _folder(prediction_path)
    else:
        require_file_place(prediction_path, flag="prediction_path", inputs=image_prefix_path or [])
    prepared = machine.prepare(device, precision, threads)
    _log.info(prepared.line())
    images = ImageTokenizer(image_tokenizer_path, prepared.device)
    tokenizer = choose_tokenizer(None, None, {}, load_model_path)
    painter = _painter(load_model_path, tokenizer, images, prepared.device, to_image=to_image)
    generator = torch.Generator().manual_seed(seed)
    if to_image:
        assert text_prefix_path is not None
        texts = _lines(text_prefix_path)
        folder = _folder(prediction_path)
        for number, text in texts.items():
            ids = tokenizer.encode(text)[:seq_length].tolist()
            pixels = images.pixels(painter.codes(ids, samples_num, sampling, generator))
            for sample, one in enumerate(pixels.numpy(), start=1):
                _save(one, folder / f"{number}-{sample}.png")
        _log.info("%s: %d images for %d texts.", folder, samples_num * len(texts), len(texts))
        return
    written = []
    for path, codes in _codes(image_prefix_path or [], images):
        rows = painter.texts(codes, samples_num, sampling, generator, max_length=seq_length)
        written += [f"{path}\t{tokenizer.decode(row)}" for row in rows]
    with atomic_file(prediction_path) as scratch:
        scratch.write_text("\n".join(written) + "\n", encoding="utf-8")
    _log.info("%s: %d texts.", prediction_path, len(written))


def _folder(path: str) -> Path:
    """The folder to paint into, which is made.

    Raises:
        UserError: it cannot be.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--prediction_path {path}: the folder for images cannot be made: {error.strerror}."
        ) from error
    return folder


def _painter(
    path: str,
    tokenizer: Tokenizer,
    images: ImageTokenizer,
    device: torch.device,
    *,
    to_image: bool,
) -> Painter:
    """The model of a checkpoint.

    Raises:
        UserError: it was trained for something else, never in this direction, or with another
            image tokenizer.
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
    if processor.to_text_rate == (1 if to_image else 0):
        what = "images for texts" if to_image else "texts for images"
        raise UserError(
            f"{path} never learnt to make {what}: it was trained with to_text_rate "
            f"{processor.to_text_rate:g}. Train with a share between 0 and 1 for both directions."
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
        never=[facts[name] for name in ("pad_id", "cls_id", "mask_id") if name in facts],
        predict_text=processor.predict_text,
        device=device,
    )


def _lines(path: str) -> dict[int, str]:
    """Texts by the number of their line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the texts cannot be read: {error}.", path) from error
    found = {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    if not found:
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
        try:
            codes = images.of_image(MediaColumn.of(place.parent, [Reference(place.name)])[0])
        except MediaError as error:
            raise DataError(f"this image cannot be read: {error}.", path) from error
        found.append((path, codes))
    return found


def _save(pixels: np.ndarray[Any, Any], path: Path) -> None:
    """Write uint8 [Y, X, C]."""
    pillow = require_pillow()
    grey = pixels.shape[2] == 1
    pillow.Image.fromarray(pixels[:, :, 0] if grey else pixels).save(path)
