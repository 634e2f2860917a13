"""From the states of a document to one vector."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from uer.errors import DataError
from uer.states import States
from uer.wanted import Places


def pool(states: States, how: str) -> torch.Tensor:
    """One vector for every document.

    Args:
        states: hidden [B, L, H]; packed rows hold several documents.
        how: ``first`` token, ``last`` token, ``mean`` or ``max`` over the document's tokens; the
            mean of the ``patches`` of an image, without the tokens in front of them;
            ``legacy_last`` and ``legacy_mean``: tokens of segment 1 count twice, as the
            predecessors have it (`dialect: legacy` chooses these).

    Returns:
        [D, H], documents in the order of their first tokens.

    Raises:
        DataError: there are no patches.
    """
    if how.startswith("legacy_"):
        return _legacy(states, how.removeprefix("legacy_"))
    if how == "patches":
        return _patches(states)
    one = places(states, how)
    if isinstance(one, int):
        return states.hidden[:, one]
    if one is not None:
        return states.flat(one)
    first, length = states.firsts(), states.lengths()
    hidden = states.hidden.flatten(0, 1)
    owner = _owners(first, length, hidden.shape[0])
    held = hidden.new_zeros(first.shape[0] + 1, hidden.shape[1])
    if how == "mean":
        total = held.index_add(0, owner, hidden)[:-1]
        return total / length[:, None].to(hidden.dtype)
    assert how == "max", how
    index = owner[:, None].expand_as(hidden)
    return held.scatter_reduce(0, index, hidden, "amax", include_self=False)[:-1]


def places(states: States, how: str) -> Places | None:
    """All that `pool` reads of D documents; None where that is not one token of each."""
    if how == "first":
        return 0 if states.first is None else states.first
    if how in ("last", "legacy_last"):
        return states.firsts() + states.lengths() - 1
    return None


def _patches(states: States) -> torch.Tensor:
    if "image" not in states.parts:
        raise DataError("pooling 'patches' is for images; choose first or mean.")
    return states.hidden[:, states.parts["image"]].mean(1)


def _legacy(states: States, how: str) -> torch.Tensor:
    """Every vector times its segment type, counted from 1."""
    hidden = states.hidden
    if states.segment is None:
        return pool(states, how)
    times = (states.segment + 1).to(hidden.dtype)[..., None]
    pooled = pool(states.with_hidden(hidden * times), how)
    return pooled if how == "last" else pooled / pool(states.with_hidden(times), how)


def _owners(first: torch.Tensor, length: torch.Tensor, tokens: int) -> torch.Tensor:
    """[tokens] document of every flat position; padding belongs to the extra document D."""
    place = torch.arange(tokens, device=first.device)
    document = torch.bucketize(place, first, right=True) - 1
    end = F.pad(first + length, (0, 1))  # before the first document stands -1: the last entry
    return torch.where(place < end[document], document, first.shape[0])
