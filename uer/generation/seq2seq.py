"""What an encoder-decoder model says about a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from uer.batch import Batch
from uer.components import Target
from uer.generation.beam_search import Hypothesis, Limits, beam_search
from uer.model import Model
from uer.states import States
from uer.targets.lm import LanguageModel


def decode_batch(
    model: Model,
    batch: Batch,
    limits: Limits,
    *,
    start: int,
    end: int,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Write texts for every row.

    The memory is computed once; what was said so far is read anew for each token.

    Args:
        model: with a decoder and the target ``lm``, in evaluation mode.
        batch: holds the side ``src``, one document in a row.
        limits: of the search.
        start: the token that the decoder reads first.
        end: the token that ends a text.
        never: tokens that no text holds.

    Returns:
        Of each row the best texts, see `beam_search`.
    """
    assert model.decoder is not None and model.tgt_embedding is not None, "there is a decoder"
    embed, decode, head = model.tgt_embedding, model.decoder, language_head(model)
    memory = model.encoder(model.embedding(batch.side("src"), None))

    def following(ids: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        states = decode(embed(Batch({"ids": ids}), None), select_rows(memory, row))
        return head.logits(states.hidden[:, -1]).float().log_softmax(-1)

    rows, device = memory.hidden.shape[0], memory.hidden.device
    return beam_search(following, rows, limits, start=start, end=end, never=never, device=device)


def language_head(model: Model) -> LanguageModel:
    """The model's target ``lm``."""
    heads: list[Target] = [head for head in model.heads.values() if isinstance(head, LanguageModel)]
    assert heads, "the model has a target lm"
    assert isinstance(heads[0], LanguageModel)
    return heads[0]


def select_rows(memory: States, row: torch.Tensor) -> States:
    """Some rows of the states that a decoder looks at, as often as they are named.

    Args:
        memory: [B, L, H], one document in a row.
        row: [N] numbers of rows.
    """
    chosen = {
        name: None if value is None else value.index_select(0, row)
        for name in ("hidden", "position", "segment", "validity", "document", "prefix", "length")
        for value in [getattr(memory, name)]
    }
    return replace(memory, **chosen, first=None, order=None, query=None, extras={}, streams=())
