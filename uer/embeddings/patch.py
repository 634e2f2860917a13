"""Patches of images."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.components import Embedding
from uer.errors import ConfigError, DataError
from uer.glossary import ChannelsNum, ClassToken, EmbSize, ImageHeight, ImageWidth, PatchSize
from uer.grid import Grid
from uer.layers.linear import INITIAL_STD
from uer.layers.patches import PatchProjection, cut
from uer.states import States


class PatchEmbedding(Embedding):
    """A linear map of each patch, behind a class token (ViT, arXiv:2010.11929).

    Where the batch says which patches are visible only these are read, each at its own position
    (MAE, arXiv:2111.06377). Images of another size than the model was made for have another number
    of patches; tables of positions are stretched over them.
    """

    first = True

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        image_height: ImageHeight,
        image_width: ImageWidth,
        patch_size: PatchSize,
        channels_num: ChannelsNum = 3,
        patch_bias: Annotated[bool, "the map of the patches' pixels has a bias"] = True,
        class_token: ClassToken = True,
        distillation_token: Annotated[
            bool, "a second token behind the class token learns from a teacher (DeiT)"
        ] = False,
    ) -> None:
        super().__init__()
        if image_height % patch_size or image_width % patch_size:
            raise ConfigError(
                [
                    f"patch_size: {patch_size} does not divide image_height {image_height} and "
                    f"image_width {image_width}."
                ]
            )
        self.output_size = emb_size
        self.size, self.channels = patch_size, channels_num
        self.known = (image_height // patch_size, image_width // patch_size)
        self.projection = PatchProjection(channels_num, patch_size, emb_size, bias=patch_bias)
        self.class_token = _token(emb_size) if class_token else None
        self.distillation_token = _token(emb_size) if distillation_token else None

    def forward(self, batch: Batch, states: States | None) -> States:
        """Embed ``image`` [B, C, Y, X], of which ``visible`` [B, U] may name the patches to read.

        Returns:
            States with hidden [B, tokens + P or U, E].

        Raises:
            DataError: the images have another number of channels, or no whole number of patches.
        """
        assert states is None, "patch reads the batch, so it stands first"
        patches, visible = cut(self._checked(batch["image"]), self.size), batch.get("visible")
        if visible is not None:
            places = visible[:, :, None, None, None].expand(-1, -1, *patches.shape[2:])
            patches = patches.gather(1, places)
        hidden = self.vectors(self.projection(patches), batch)
        tokens = self._tokens()
        before, rows = len(tokens), hidden.shape[0]
        if tokens:
            front = torch.stack([*tokens]).to(hidden.dtype).expand(rows, -1, -1)
            hidden = torch.cat([front, hidden], 1)
        position = None
        if visible is not None:
            front_places = torch.arange(before, device=visible.device).expand(rows, -1)
            position = torch.cat([front_places, visible + before], 1)
        behind = slice(before, hidden.shape[1])
        parts = {"image": behind}
        if self.distillation_token is not None:
            parts["distillation"] = slice(before - 1, before)
        height, width = batch["image"].shape[2:]
        grid = Grid(self.known, (height // self.size, width // self.size), before)
        first = batch.get("first")  # there where a row fills the place of none
        return States(
            hidden,
            position=position,
            first=first,
            length=None if first is None else torch.full_like(first, hidden.shape[1]),
            indexed=behind,
            grid=grid,
            parts=parts,
        )

    def vectors(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """[B, P, E] what stands for the patches, given their linear maps."""
        return hidden

    def no_decay(self) -> list[nn.Parameter]:
        """The tokens."""
        return self._tokens()

    def _tokens(self) -> list[nn.Parameter]:
        tokens = (self.class_token, self.distillation_token)
        return [token for token in tokens if token is not None]

    def _checked(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[1] != self.channels:
            raise DataError(
                f"the images have {image.shape[1]} channels, the model reads {self.channels}; "
                "change channels_num or the images."
            )
        return image


def _token(size: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(size), std=INITIAL_STD))
