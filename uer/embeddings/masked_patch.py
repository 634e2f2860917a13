"""Patches of images, some of them hidden."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from uer.batch import Batch
from uer.embeddings.patch import PatchEmbedding
from uer.glossary import ChannelsNum, ClassToken, EmbSize, ImageHeight, ImageWidth, PatchSize
from uer.layers.linear import INITIAL_STD


class MaskedPatchEmbedding(PatchEmbedding):
    """Patches, of which those that the batch says are replaced by a mask vector.

    (BEiT, arXiv:2106.08254.) A batch that says nothing is read as it is.
    """

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
    ) -> None:
        super().__init__(
            emb_size=emb_size,
            image_height=image_height,
            image_width=image_width,
            patch_size=patch_size,
            channels_num=channels_num,
            patch_bias=patch_bias,
            class_token=class_token,
        )
        self.mask_vector = nn.Parameter(nn.init.normal_(torch.empty(emb_size), std=INITIAL_STD))

    def vectors(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """[B, P, E] with the mask vector where ``masked`` [B, P] is True."""
        masked = batch.get("masked")
        if masked is None:
            return hidden
        return torch.where(masked[:, :, None], self.mask_vector.to(hidden.dtype), hidden)

    def no_decay(self) -> list[nn.Parameter]:
        """The tokens and the mask vector."""
        return [*super().no_decay(), self.mask_vector]
