"""Fixed positions of patches."""

from __future__ import annotations

import torch

from uer.embeddings.pos import Interpolation, PositionEmbedding
from uer.errors import ConfigError
from uer.glossary import ClassToken, EmbSize, ImageHeight, ImageWidth, PatchSize


class GridPositionEmbedding(PositionEmbedding):
    """Sines and cosines of a patch's column and row (MAE, arXiv:2111.06377).

    A table like that of learnt positions, which is saved and not trained: another model may start
    from it and learn on. The class token's row is zero.
    """

    def __init__(
        self,
        *,
        emb_size: EmbSize,
        image_height: ImageHeight,
        image_width: ImageWidth,
        patch_size: PatchSize,
        class_token: ClassToken = True,
        position_interpolation: Interpolation = "bicubic",
    ) -> None:
        if emb_size % 4:
            raise ConfigError([f"emb_size: {emb_size} is no multiple of 4, as gridpos needs."])
        rows, columns = image_height // patch_size, image_width // patch_size
        super().__init__(
            emb_size=emb_size,
            max_seq_length=int(class_token) + rows * columns,
            position_interpolation=position_interpolation,
        )
        self.weight.requires_grad_(False)
        self.weight.zero_()
        self.weight[int(class_token) :] = sinusoids(rows, columns, emb_size)


def sinusoids(rows: int, columns: int, size: int) -> torch.Tensor:
    """float32 [rows * columns, size]: a quarter each sines and cosines of columns, then of rows."""
    frequency = 1.0 / 10000.0 ** (torch.arange(size // 4, dtype=torch.float64) / (size // 4))
    vertical, horizontal = (torch.arange(n, dtype=torch.float64) for n in (rows, columns))
    place = torch.stack(torch.meshgrid(horizontal, vertical, indexing="xy"), -1).reshape(-1, 2)
    angle = place[:, :, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(1).float()
