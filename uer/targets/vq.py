"""Images as a few codes."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Encoder, Target
from uer.errors import ConfigError
from uer.glossary import ChannelsNum, ImageHeight, ImageWidth, PatchSize
from uer.layers.codebook import Codebook, Coded, perplexity
from uer.layers.linear import Linear, table
from uer.layers.patches import cut
from uer.score import Ratio, Score
from uer.signature import Factory, Given, default
from uer.states import States


class VectorQuantisation(Target):
    """Every patch becomes one of K codes, from which the image is painted again.

    (VQ-VAE, arXiv:1711.00937, with transformers on both sides as in ViT-VQGAN, arXiv:2110.04627.)
    A model with this target is an image tokenizer: its encoder makes the codes, the target's own
    ``image_decoder`` the pixels. The loss is the squared error of the pixels, averaged over a
    patch, and the distance of the patches' vectors to their codes, averaged over the features.

    ``perplexity`` says how many codes are in even use; near 1 the codebook has collapsed.
    """

    labels = ()
    lowest = ("pixel_error",)

    def __init__(
        self,
        *,
        input_size: Given[int],
        image_height: ImageHeight,
        image_width: ImageWidth,
        patch_size: PatchSize,
        channels_num: ChannelsNum = 3,
        image_decoder: Factory[Encoder] = default("transformer"),
        codebook_size: Annotated[int, "codes of the codebook"] = 8192,
        code_size: Annotated[int, "width of the codebook's vectors"] = 32,
        codebook_decay: Annotated[
            float | None, "share of itself that a code keeps in an update; null: codes are trained"
        ] = 0.99,
        commitment_weight: Annotated[
            float, "weight of the distance of vectors to their codes"
        ] = 0.25,
    ) -> None:
        super().__init__()
        if image_height % patch_size or image_width % patch_size:
            raise ConfigError([f"patch_size: {patch_size} does not divide the image's sides."])
        self.grid = (image_height // patch_size, image_width // patch_size)
        self.size, self.channels = patch_size, channels_num
        self.to_code = Linear(input_size, code_size)
        self.codebook = Codebook(
            codebook_size, code_size, commitment=commitment_weight, decay=codebook_decay
        )
        self.from_code = Linear(code_size, input_size)
        self.positions = table(self.patches, input_size)
        self.image_decoder = image_decoder.given(input_size=input_size)()
        self.to_pixels = Linear(self.image_decoder.output_size, channels_num * patch_size**2)

    @property
    def patches(self) -> int:
        """P of an image."""
        return self.grid[0] * self.grid[1]

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of patches."""
        images = self._images(batch)
        return torch.full((), float(images * self.patches), device=batch["src.image"].device)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score hidden [B, L, H] against the pixels of ``src.image``."""
        images = self._images(batch)
        vectors = self._vectors(states)[:images]
        coded = self.codebook(vectors.flatten(0, 1))
        painted = self._painted(coded.vectors.view(vectors.shape))
        wanted = cut(batch["src.image"][:images], self.size).flatten(2).float()
        errors = (painted.float() - wanted).square().mean(-1).sum()
        return Score(errors + coded.loss / vectors.shape[-1], self._figures(errors, coded))

    def codes(self, states: States) -> torch.Tensor:
        """int64 [B, P] of the images of which the encoder made these states."""
        vectors = self._vectors(states)
        return self.codebook.codes(vectors.flatten(0, 1)).view(vectors.shape[:2])

    def image(self, codes: torch.Tensor) -> torch.Tensor:
        """[B, P] codes → [B, C, Y, X] pixels, normalised as those that were trained on."""
        painted = self._painted(self.codebook.vectors(codes))
        patches = painted.unflatten(2, (self.channels, self.size, self.size))
        rows = patches.unflatten(1, self.grid)  # [B, rows, columns, C, y, x]
        return rows.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def no_decay(self) -> list[nn.Parameter]:
        """The positions."""
        return [self.positions]

    def _vectors(self, states: States) -> torch.Tensor:
        """[B, P, F] what is to be coded."""
        hidden = states.hidden if states.indexed is None else states.hidden[:, states.indexed]
        if hidden.shape[1] != self.patches:
            raise ConfigError(
                [
                    f"target 'vq' codes {self.patches} patches of an image and finds "
                    f"{hidden.shape[1]}; choose embedding: [patch, pos], and images of "
                    "image_height x image_width pixels."
                ]
            )
        return self.to_code(hidden)

    def _painted(self, vectors: torch.Tensor) -> torch.Tensor:
        """[B, P, F] unit vectors → [B, P, C * size * size] pixels."""
        hidden = self.from_code(vectors) + self.positions
        return self.to_pixels(self.image_decoder(States(hidden)).hidden)

    def _figures(self, errors: torch.Tensor, coded: Coded) -> dict[str, Ratio]:
        count = errors.new_full((), float(len(coded.codes)))
        used = perplexity(coded.codes, self.codebook.table.shape[0])
        return {
            "pixel_error": Ratio(errors.detach(), count),
            "perplexity": Ratio(used * count, count),
        }

    def _images(self, batch: Batch) -> int:
        """How many there are; a batch that is only there to fill has a row, but no image."""
        length = batch.get("src.length")
        return (batch["src.image"] if length is None else length).shape[0]
