"""The two towers of a dual model, each used alone: vectors of texts, vectors of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from uer.batch import Batch
from uer.data.collate import Rows, collate
from uer.data.media.references import MediaError, Medium, Unread
from uer.data.media.report import MediaReport
from uer.data.ragged import gather_sides
from uer.data.randomness import Draw
from uer.data.store import Store
from uer.embeddings.dual import DualEmbedding
from uer.encoders.dual import DualEncoder
from uer.errors import ConfigError, DataError
from uer.model import Model
from uer.processors.base import Prepared, Processor
from uer.processors.clip import Clip
from uer.targets._pairs import PairTarget
from uer.tokenizers.base import Tokenizer

T = TypeVar("T")
_DRAW = Draw(0, 0)  # nothing is random here


class Towers:
    """A trained model of texts and images.

    Args:
        model: of two streams; it is put into evaluation mode.
        processor: makes what they read.
        tokenizer: of the texts.
        batch_size: texts or images at once.

    Raises:
        ConfigError: the model does not compare texts with images.
    """

    def __init__(
        self, model: Model, processor: Processor, tokenizer: Tokenizer, *, batch_size: int
    ) -> None:
        heads = [one for one in model.heads.values() if isinstance(one, PairTarget)]
        if not heads or not isinstance(processor, Clip):
            raise ConfigError(
                [
                    "the model compares no texts with images: its target is to be clr or siglip "
                    "and its data_processor clip or siglip."
                ]
            )
        assert isinstance(model.embedding, DualEmbedding) and isinstance(model.encoder, DualEncoder)
        self.model, self.head, self.processor = model.eval(), heads[0], processor
        self.embeddings, self.encoders = model.embedding.streams, model.encoder.streams
        self.tokenizer, self.batch_size = tokenizer, batch_size
        self.device = next(model.parameters()).device

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """[N, F] unit vectors of texts, on the CPU.

        Raises:
            DataError: one of them gives no token.
        """
        for number, text in enumerate(texts):
            if not text.strip():
                raise DataError(f"text {number + 1} is empty.")
        store = Store.in_memory(self.tokenizer, [[text] for text in texts], {})
        instances = self.processor.texts(store)
        made = []
        for numbers in _cut(np.arange(len(texts)), self.batch_size):
            gathered = gather_sides(store, instances, numbers)
            prepared = Prepared({"src.0": self.processor.text(gathered["src"])})
            rows = Rows(np.ones(len(numbers), np.int64), {}, "off")
            batch = collate(prepared, rows, pad_id=self.processor.pad_id)
            made.append(self._vectors(0, batch.side("src.0")))
        return torch.cat(made)

    def images(
        self, media: Sequence[Medium], report: MediaReport
    ) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """[M, F] unit vectors of the images that can be read, and [M] which these are.

        Raises:
            DataError: none can be read.
        """
        made, kept = [], []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for numbers in _cut(range(len(media)), self.batch_size):
                decoded = pool.map(self._decoded, [media[number] for number in numbers])
                pixels = []
                for number, one in zip(numbers, decoded, strict=True):
                    if isinstance(one, Unread):
                        report.add([one])
                    else:
                        pixels.append(one)
                        kept.append(number)
                if pixels:
                    image = torch.from_numpy(np.stack(pixels))
                    made.append(self._vectors(1, Batch({"image": image})))
        if not made:
            raise DataError(f"none of the images can be read. {report.line()}")
        return torch.cat(made), np.array(kept, np.int64)

    def logits(self, texts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """[N, M] how well texts go with images, as the target scores it; on the CPU."""
        with torch.inference_mode():
            return self.head.logits(texts.to(self.device), images.to(self.device)).float().cpu()

    def _decoded(self, medium: Medium) -> NDArray[np.float32] | Unread:
        try:
            return self.processor.images(medium, _DRAW, 0, ordered=True)
        except MediaError as error:
            return Unread(medium.name, error.reason, error.detail)

    def _vectors(self, stream: int, side: Batch) -> torch.Tensor:
        with torch.inference_mode():
            states = self.encoders[stream](self.embeddings[stream](side.to(self.device), None))
            return self.head.feature(stream, states).float().cpu()


def ranks(logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[N] how many candidates stand before the first right one; equals count half.

    Args:
        logits: [N, M].
        right: bool [N, M], at least one in each row.
    """
    best = logits.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    wrong = ~right
    ahead = ((logits > best) & wrong).sum(1)
    return ahead + ((logits == best) & wrong).sum(1) / 2


def _cut(values: Sequence[T] | NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    numbers = np.asarray(values, np.int64)
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
