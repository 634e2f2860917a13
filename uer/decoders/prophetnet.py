"""The decoder that predicts several tokens ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from uer.components import Decoder
from uer.decoders.transformer import DecoderLayer
from uer.errors import ConfigError
from uer.glossary import (
    AttentionDropout,
    HeadsNum,
    HiddenSize,
    LayersNum,
    RelativeBuckets,
    RelativeMaxDistance,
)
from uer.glossary import Dropout as DropoutRate
from uer.layers.base import Attention, AttentionContext, FeedForward, Norm
from uer.layers.ngram_attention import NgramAttention, StreamContext
from uer.masks import AttentionMask, Side
from uer.signature import Factory, Given, default
from uer.states import States


class ProphetNetDecoder(Decoder):
    """One stream reads the target, n streams predict its next tokens (arXiv:2001.04063).

    At a token, predicting stream i (from 0) says what follows from all that stands up to i tokens
    earlier; so all have the same labels, and the first is an ordinary language model. The streams
    start from ``tgt_embedding: prophetnet``. ``attention`` is that to the memory.
    """

    packable = True

    def __init__(
        self,
        *,
        input_size: Given[int],
        memory_size: Given[int],
        hidden_size: HiddenSize,
        layers_num: LayersNum,
        heads_num: HeadsNum,
        attention: Factory[Attention] = default("multihead"),
        attention_dropout: AttentionDropout = 0.0,
        relative_attention_buckets_num: RelativeBuckets = 32,
        relative_attention_max_distance: RelativeMaxDistance = 128,
        feed_forward: Factory[FeedForward] = default("dense"),
        layernorm: Factory[Norm] = default("normal"),
        dropout: DropoutRate = 0.1,
    ) -> None:
        super().__init__()
        if input_size != hidden_size:
            raise ConfigError(
                [
                    f"the decoder's hidden_size {hidden_size} is not the width {input_size} of its "
                    "embedding; make emb_size and hidden_size equal."
                ]
            )
        self.output_size = hidden_size
        self.distances = {
            "number": relative_attention_buckets_num,
            "farthest": relative_attention_max_distance,
        }

        def made(memory_size: int | None) -> Any:
            if memory_size is not None:
                return attention(memory_size=memory_size)
            return NgramAttention(
                hidden_size=hidden_size,
                heads_num=heads_num,
                buckets_num=relative_attention_buckets_num,
                dropout=attention_dropout,
            )

        self.layers = nn.ModuleList(
            DecoderLayer(
                attention=made,  # type: ignore[arg-type]
                feed_forward=feed_forward,
                norm=lambda: layernorm(size=hidden_size),  # type: ignore[arg-type]
                memory_size=memory_size,
                pre=False,
                dropout=dropout,
            )
            for _ in range(layers_num)
        )

    def forward(self, states: States, memory: States) -> States:
        """Decode hidden [B, T, H] and the beginnings of n streams over memory [B, L, memory_size].

        Returns:
            States with the first predicting stream as hidden [B, T, H], and all of them as
            ``extras["streams"]`` [B, n, T, H].

        Raises:
            ConfigError: the target embedding made no streams.
        """
        if "stream_starts" not in states.extras:
            raise ConfigError(
                ["decoder: prophetnet needs the streams that tgt_embedding: prophetnet makes."]
            )
        hidden = torch.cat([states.hidden[:, None], states.extras["stream_starts"]], 1)
        streams = hidden.shape[1]
        own = StreamContext(states, streams - 1, **self.distances)
        cross = AttentionContext(
            AttentionMask("fully_visible", _repeated(states.side(), streams), memory.side())
        )
        hidden = hidden.flatten(1, 2)
        for layer in self.layers:
            hidden = layer(hidden, own, memory.hidden, cross)
        predicting = hidden.unflatten(1, (streams, -1))[:, 1:]
        return replace(states, hidden=predicting[:, 0], extras={"streams": predicting})


def _repeated(side: Side, times: int) -> Side:
    """A side whose tokens stand behind each other several times; only documents matter of it."""
    document = None if side.document is None else side.document.repeat(1, times)
    return Side((side.shape[0], side.shape[1] * times), document=document)
