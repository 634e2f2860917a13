"""An embedding of image patches for tests of the data path: a convolution and a class token."""

import torch
from torch import nn
from torch.nn import functional as F

from uer.components import Embedding
from uer.glossary import ChannelsNum, EmbSize, PatchSize
from uer.states import States


class TinyPatch(Embedding):
    """Patches, with a class token in front."""

    first = True

    def __init__(
        self, *, emb_size: EmbSize, patch_size: PatchSize = 16, channels_num: ChannelsNum = 3
    ) -> None:
        super().__init__()
        self.output_size = emb_size
        self.map = nn.Conv2d(channels_num, emb_size, patch_size, patch_size)
        self.token = nn.Parameter(torch.zeros(emb_size))

    def forward(self, batch, states):
        patches = self.map(batch["image"]).flatten(2).mT
        hidden = torch.cat([self.token.expand(len(patches), 1, -1), patches], dim=1)
        return States(hidden=F.layer_norm(hidden, hidden.shape[-1:]), first=batch.get("first"))
