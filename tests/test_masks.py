"""The kernel mask against the plain rule, token by token."""

from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.masks import AttentionMask, KernelMask, Side

CPU = torch.device("cpu")


class Case(NamedTuple):
    """Rows of documents with padding behind them."""

    side: Side
    owner: list[list[int]]  # document of each token, -1 at padding
    place: list[list[int]]  # position inside the document


def lay_out(rows, width, *, packed, prefixes):
    """A side of rows; each row is a list of document lengths (one, unless packed)."""
    owner = [[n for n, size in enumerate(row) for _ in range(size)] for row in rows]
    place = [[p for size in row for p in range(size)] for row in rows]
    owner = [row + [-1] * (width - len(row)) for row in owner]
    place = [row + [0] * (width - len(row)) for row in place]
    real = torch.tensor(owner) >= 0
    prefix = (torch.tensor(place) < prefixes) & real
    side = Side(
        (len(rows), width),
        position=torch.tensor(place) if packed else None,
        validity=None if real.all() else real,
        document=torch.tensor(owner) if packed else None,
        prefix=prefix if prefixes else None,
    )
    return Case(side, owner, place)


@st.composite
def cases(draw):
    packed = draw(st.booleans())
    documents = st.lists(st.integers(1, 4), min_size=1, max_size=3 if packed else 1)
    rows = draw(st.lists(documents, min_size=1, max_size=3))
    width = max(map(sum, rows)) + draw(st.integers(0, 2))
    return lay_out(rows, width, packed=packed, prefixes=draw(st.integers(0, 3)))


def plain(kind, window, query, key, prefixes):
    """[B, Lq, Lk] the rule as it is written down; rows of padding queries mean nothing."""
    size = len(query.owner), len(query.owner[0]), len(key.owner[0])
    allowed = torch.zeros(size, dtype=torch.bool)
    for b in range(size[0]):
        for q in range(size[1]):
            for k in range(size[2]):
                same = query.owner[b][q] == key.owner[b][k] >= 0
                ahead = query.place[b][q] - key.place[b][k]
                seen = kind == "fully_visible" or ahead >= 0
                if kind == "causal_with_prefix" and prefixes is not None:
                    seen = seen or bool(prefixes[b, k])
                near = window is None or abs(ahead) <= window
                allowed[b, q, k] = same and seen and near
    return allowed


def meant(mask: KernelMask, batch, query, key):
    """[B, Lq, Lk] what the kernel makes of its arguments."""
    if mask.allowed is not None:
        return mask.allowed[:, 0].expand(batch, query, key)
    ones = torch.ones(batch, query, key, dtype=torch.bool)
    return ones.tril() if mask.is_causal else ones


@settings(max_examples=150, deadline=None)
@given(
    cases(),
    st.sampled_from(["fully_visible", "causal", "causal_with_prefix"]),
    st.none() | st.integers(0, 3),
)
def test_self_attention_equals_the_plain_rule(case, kind, window):
    mask = AttentionMask(kind, case.side, case.side)
    if window is not None:
        mask = mask.narrow(window)
    kernel = mask.kernel(CPU)
    assert not (kernel.is_causal and kernel.allowed is not None)
    real = torch.tensor(case.owner) >= 0
    got = meant(kernel, len(case.owner), *case.side.shape[1:], case.side.shape[1])
    want = plain(kind, window, case, case, case.side.prefix)
    assert torch.equal(got[real], want[real])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_padding_queries_see_something_so_that_no_softmax_is_empty(data):
    case = data.draw(cases())
    kind = data.draw(st.sampled_from(["fully_visible", "causal", "causal_with_prefix"]))
    kernel = AttentionMask(kind, case.side, case.side).kernel(CPU)
    assert meant(kernel, len(case.owner), *case.side.shape[1:], case.side.shape[1]).any(-1).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_cross_attention_sees_the_real_tokens_of_its_own_document(data, packed):
    rows = data.draw(st.integers(1, 3))
    count = data.draw(st.integers(1, 3)) if packed else 1

    def side():
        lengths = data.draw(
            st.lists(
                st.lists(st.integers(1, 3), min_size=count, max_size=count),
                min_size=rows,
                max_size=rows,
            )
        )
        return lay_out(lengths, max(map(sum, lengths)) + 1, packed=packed, prefixes=0)

    query, key = side(), side()
    kernel = AttentionMask("fully_visible", query.side, key.side).kernel(CPU)
    real = torch.tensor(query.owner) >= 0
    got = meant(kernel, rows, query.side.shape[1], key.side.shape[1])
    want = plain("fully_visible", None, query, key, None)
    assert torch.equal(got[real], want[real])


def test_the_cheapest_form_is_chosen():
    plain_side = Side((2, 5))
    padded = Side((2, 5), validity=torch.tensor([[True] * 4 + [False]] * 2))
    packed = Side((2, 5), document=torch.tensor([[0, 0, 1, 1, 1]] * 2))
    none, causal = KernelMask(None, False), KernelMask(None, True)
    assert AttentionMask("fully_visible", plain_side, plain_side).kernel(CPU) == none
    assert AttentionMask("causal", plain_side, plain_side).kernel(CPU) == causal
    assert AttentionMask("causal", padded, padded).kernel(CPU) == causal
    for side, kind in ((padded, "fully_visible"), (packed, "causal"), (packed, "fully_visible")):
        kernel = AttentionMask(kind, side, side).kernel(CPU)
        assert kernel.allowed is not None and not kernel.is_causal
    one_more = Side((2, 6))  # a cache of keys: the kernel's triangle would be shifted
    assert AttentionMask("causal", plain_side, one_more).kernel(CPU).is_causal is False
    assert AttentionMask("causal", plain_side, plain_side, window=1).kernel(CPU).is_causal is False


def test_one_tensor_serves_all_layers():
    side = Side((1, 4), validity=torch.tensor([[True, True, True, False]]))
    mask = AttentionMask("fully_visible", side, side)
    assert mask.kernel(CPU) is mask.kernel(CPU)
    assert mask.narrow(2).kernel(CPU) is mask.narrow(2).kernel(CPU)
    assert mask.narrow(1).kernel(CPU) is not mask.narrow(2).kernel(CPU)
