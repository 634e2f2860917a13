"""A trained image tokenizer: images to codes, codes to images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uer.batch import Batch
from uer.data.instances import TokenStore
from uer.data.media.references import Medium
from uer.data.media.report import MediaReport
from uer.data.randomness import Draw
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, UserError
from uer.images.base import Images
from uer.images.single import SingleImage
from uer.interop.pretrained import checkpoint_config
from uer.model import Model
from uer.processors._media import MediaProcessor
from uer.recipe import read_recipe
from uer.targets.vq import VectorQuantisation
from uer.training.checkpoint import load_weights
from uer.transforms.normalize import Normalize

UNREADABLE = -1  # stands for the codes of an image that cannot be read


class ImageTokenizer:
    """A model that was trained with the target ``vq``.

    Args:
        path: its checkpoint.
        device: where it computes.

    Raises:
        CheckpointError: it is no whole checkpoint.
        UserError: it is no image tokenizer.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        recipe = read_recipe(checkpoint_config(path))
        self.model: Model = recipe.model.build(recipe.facts).to(device).eval()
        heads = [one for one in self.model.heads.values() if isinstance(one, VectorQuantisation)]
        processor = None if recipe.processor is None else recipe.processor.build(recipe.facts)
        if len(heads) != 1 or not isinstance(processor, MediaProcessor):
            raise UserError(
                f"{path} is no image tokenizer: it was trained for {', '.join(self.model.heads)}, "
                "not for the target vq with images."
            )
        load_weights(self.model, path)
        self.target, self.path, self.processor = heads[0], path, processor
        self.device = torch.device(device)

    @property
    def codes_num(self) -> int:
        """Codes of the codebook."""
        return self.target.codebook.table.shape[0]

    @property
    def patches(self) -> int:
        """P, codes of an image."""
        return self.target.patches

    @torch.inference_mode()
    def codes(self, batch: Batch) -> torch.Tensor:
        """int64 [B, P] of the images of a batch, as the model's own processor makes it."""
        return self.target.codes(self.model.states(batch.to(self.device)))

    @torch.inference_mode()
    def pixels(self, codes: torch.Tensor) -> torch.Tensor:
        """uint8 [B, Y, X, C] images of codes [B, P]: what was normalised is undone."""
        image = self.target.image(codes.to(self.device)).float().cpu()
        for one in self._normalised():
            image = one.undone(image)
        return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    def of_image(self, medium: Medium) -> torch.Tensor:
        """int64 [P] codes of one image, as in evaluation.

        Raises:
            MediaError: it cannot be read.
        """
        decoded = self.processor.decode({"image": medium}, Draw(0, 0), 0, ordered=True)
        fields = {name: torch.from_numpy(values[None]) for name, values in decoded.items()}
        return self.codes(Batch(fields))[0].cpu()

    def of_store(self, store: TokenStore, *, batch_size: int) -> tuple[np.ndarray, MediaReport]:
        """The codes of all images of a data set, in the order of its documents.

        Nothing is random: images are transformed as in evaluation.

        Args:
            store: with a medium ``image`` per document.
            batch_size: images of a batch.

        Returns:
            int64 [D, P], `UNREADABLE` where an image could not be read, and the report on these.
        """
        codes = np.full((len(store), self.patches), UNREADABLE, np.int64)
        stream = self._stream(store, batch_size)
        for made, numbers in self._made(stream):
            codes[numbers] = made
        return codes, stream.media_report

    def _made(self, stream: TextStream) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for numbered in stream.numbered():
            if len(numbered.numbers):
                yield self.codes(numbered.batch).cpu().numpy(), numbered.numbers

    def _stream(self, store: TokenStore, batch_size: int) -> TextStream:
        return TextStream(
            store,
            self.processor,
            batch_size=batch_size,
            seq_length=self.processor.seq_length,
            packing="off",
            seed=0,
        )

    def _normalised(self) -> list[Normalize]:
        """The transforms of its processor that changed what pixels mean, the last one first.

        Raises:
            ConfigError: its images are made in a way that is not known here.
        """
        images: Images | Any = getattr(self.processor, "images", None)
        if not isinstance(images, SingleImage):
            raise ConfigError(
                [f"{self.path}: images of the processor '{self.processor.name}' cannot be painted."]
            )
        return [one for one in reversed(images.transforms) if isinstance(one, Normalize)]
