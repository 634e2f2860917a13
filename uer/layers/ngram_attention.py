"""Self-attention of several streams: one that reads, and n that predict (arXiv:2001.04063).

Shapes: B rows, n predicting streams, S = 1 + n streams, T tokens, N heads, Dh size of a head.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.errors import ConfigError
from uer.layers.base import AttentionContext
from uer.layers.linear import Linear
from uer.layers.positions.relative import buckets
from uer.states import States


class StreamContext(AttentionContext):
    """Who sees whom among the streams; made once per forward pass, shared by the layers.

    The reading stream is causal. Predicting stream i, at a token, sees the reading stream up to i
    tokens earlier, the document's first token in any case, and of the predicting streams itself
    at this token only. Stream i so says what follows a token without knowing the last i.

    Args:
        states: of the target side.
        streams: n.
        number: buckets of distances.
        farthest: distances from here on share a bucket.

    Attributes:
        seen: [B or 1, S, 1, T, T] whether a query of a stream sees a token of the reading stream.
        bucket: [B or 1, S, 1, T, T] of the distance between them.
    """

    def __init__(self, states: States, streams: int, *, number: int, farthest: int) -> None:
        super().__init__(states.self_mask("causal"))
        device, side = states.hidden.device, states.side()
        place = side.places(device)
        ahead = (place[:, :, None] - place[:, None, :])[:, None]  # [B or 1, 1, T, T]
        lag = torch.arange(-1, streams, device=device).clamp(min=0)[:, None, None]
        seen = (ahead >= lag) | ((ahead >= 0) & (place == 0)[:, None, None, :])
        if side.document is not None:
            seen = seen & (side.document[:, :, None] == side.document[:, None, :])[:, None]
        # Predicting streams stand at the next position.
        further = (torch.arange(1 + streams, device=device) > 0).long()[:, None, None]
        bucket = buckets(-ahead - further, number, farthest, both_ways=False)
        self.seen, self.bucket = seen[:, :, None], bucket[:, :, None]


class NgramAttention(nn.Module):
    """Attention within 1 + n streams that share all parameters.

    Positions act as a bias per head and distance that depends on the query's token. Stream after
    stream the tokens stand behind each other, so that everything else in a layer need not know.

    Args:
        hidden_size: H.
        heads_num: N.
        buckets_num: of distances.
        dropout: rate at the attention's probabilities.
    """

    def __init__(
        self, *, hidden_size: int, heads_num: int, buckets_num: int, dropout: float
    ) -> None:
        super().__init__()
        if hidden_size % heads_num:
            raise ConfigError(
                [f"heads_num: {heads_num} does not divide hidden_size {hidden_size}."]
            )
        self.heads, self.buckets, self.dropout = heads_num, buckets_num, dropout
        self.query = Linear(hidden_size, hidden_size)
        self.key = Linear(hidden_size, hidden_size)
        self.value = Linear(hidden_size, hidden_size)
        self.relative = Linear(hidden_size, buckets_num * heads_num)
        self.output = Linear(hidden_size, hidden_size)

    def forward(self, hidden: torch.Tensor, context: StreamContext) -> torch.Tensor:
        """[B, S * T, H] → [B, S * T, H]."""
        streams = context.seen.shape[1]
        query, key, value = (
            self._heads(map_(hidden), streams) for map_ in (self.query, self.key, self.value)
        )
        query = query * query.shape[-1] ** -0.5
        # [B, S, N, T, buckets]
        bias = self.relative(hidden).unflatten(-1, (self.buckets, self.heads))
        bias = bias.unflatten(1, (streams, -1)).permute(0, 1, 4, 2, 3)
        bucket = context.bucket.expand(*bias.shape[:-1], -1)
        read = torch.einsum("bsntd,bnud->bsntu", query, key[:, 0]) + bias.gather(-1, bucket)
        read = read.masked_fill(~context.seen, torch.finfo(read.dtype).min)
        own = (query * key).sum(-1, keepdim=True) + bias[..., :1]  # distance 0 is in bucket 0
        first = self._mix(read[:, 0], value[:, 0])
        shares = self._shares(torch.cat([read[:, 1:], own[:, 1:]], -1), value)
        rest = torch.einsum("bsntu,bnud->bsntd", shares[..., :-1], value[:, 0])
        rest = rest + shares[..., -1:] * value[:, 1:]
        mixed = torch.cat([first[:, None], rest], 1)
        return self.output(mixed.transpose(2, 3).flatten(3).flatten(1, 2))

    def adaptable(self) -> list[Linear]:
        """What LoRA adapts unless it is told otherwise."""
        return [self.query, self.value]

    def _mix(self, scores: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return self._shares(scores, value) @ value

    def _shares(self, scores: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        shares = scores.float().softmax(-1).to(value.dtype)
        return F.dropout(shares, self.dropout, self.training)

    def _heads(self, vectors: torch.Tensor, streams: int) -> torch.Tensor:
        """[B, S * T, N * Dh] → [B, S, N, T, Dh]."""
        return vectors.unflatten(1, (streams, -1)).unflatten(-1, (self.heads, -1)).transpose(2, 3)
